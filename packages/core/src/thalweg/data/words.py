"""Data in words, and how what a source holds differs from what it held."""

from collections.abc import Mapping, Sequence

from thalweg.data.contents import Contents, block_of

UNCONDITIONAL = "none: the images bear no labels, and a network trains on them unconditionally"

_ASPECTS = {"files": "the files", "labels": "the labels", "captions": "the captions"}


def classes_in_words(classes: int, names: Sequence[str]) -> str:
    """How many classes there are, and what the first are called."""
    return f"{classes:,}: {_listed(names, 5)}" if names else f"{classes:,}"


def differences(before: Mapping[str, Contents], now: Mapping[str, Contents]) -> list[str]:
    """What differs between the sources of a data set, by their names, such as ``source``."""
    found = []
    for name in dict.fromkeys([*before, *now]):
        if name not in before or name not in now:
            found.append(f"there is {'no' if name in before else 'now a'} {name}")
            continue
        several = len({*before, *now}) > 1
        found += [f"{one} ({name})" if several else one for one in changes(before[name], now[name])]
    return found


def changes(before: Contents, now: Contents) -> list[str]:
    """What differs between two states of a source; empty if nothing that counts does."""
    found = _classes(before, now)
    if before.keys and now.keys:
        found += _each(before, now)
    else:
        found += _blocks(before, now)
    if before.held_out != now.held_out:
        found.append("what is held out is something else")
    return found


def _classes(before: Contents, now: Contents) -> list[str]:
    gone = [name for name in before.class_names if name not in set(now.class_names)]
    new = [name for name in now.class_names if name not in set(before.class_names)]
    if len(gone) == len(new) == 1 and len(before.class_names) == len(now.class_names):
        return [f"the class {gone[0]!r} is now {new[0]!r}"]
    found = []
    if gone:
        found.append(f"{_many(len(gone), 'class')} gone, {_listed([*map(repr, gone)], 3)}")
    if new:
        found.append(f"{_many(len(new), 'class')} new, {_listed([*map(repr, new)], 3)}")
    if not found and before.class_names != now.class_names:
        found.append("the classes stand in another order")
    if not found and before.classes != now.classes:
        found.append(f"it has {now.classes or 'no'} classes and had {before.classes or 'none'}")
    return found


def _each(before: Contents, now: Contents) -> list[str]:
    """By the names of the images, of which each is known."""
    old, new = _places(before), _places(now)
    gone, came = [key for key in old if key not in new], [key for key in new if key not in old]
    found = []
    if gone:
        found.append(f"{_many(len(gone), 'image')} gone, {_first(gone)}")
    if came:
        found.append(f"{_many(len(came), 'image')} new, {_first(came)}")
    for aspect, words in _ASPECTS.items():
        theirs, ours = before.marked(aspect), now.marked(aspect)
        if bool(theirs) != bool(ours):
            found.append(f"there are {'no' if theirs else 'now'} {aspect}")
        elif theirs:
            other = [key for key in old if key in new and theirs[old[key]] != ours[new[key]]]
            if other:
                what = f"{words[:-1]} of 1 image" if len(other) == 1 else f"{words} of {len(other):,} images"
                found.append(f"{what} changed, {_first(other)}")
    if not found and before.keys != now.keys:
        found.append("the images stand in another order")
    return found


def _blocks(before: Contents, now: Contents) -> list[str]:
    """By blocks of images, of which there are too many to know each."""
    found = []
    if before.images != now.images:
        found.append(f"it holds {now.images:,} images and held {before.images:,}")
        pairs = zip(before.class_counts, now.class_counts, strict=False)
        for label, (had, has) in enumerate(pairs):
            if had != has and before.class_names == now.class_names:
                name = repr(now.class_names[label]) if now.class_names else str(label)
                found.append(f"the class {name} has {has:,} of them and had {had:,}")
                break
        return found
    for aspect, words in {"names": "the names, or their order,", **_ASPECTS}.items():
        if before.digests.get(aspect) == now.digests.get(aspect):
            continue
        theirs, ours = before.marked(aspect), now.marked(aspect)
        if len(theirs) != len(ours):
            found.append(f"there are {'no' if theirs else 'now'} {aspect}")
            continue
        other = [place for place, pair in enumerate(zip(theirs, ours, strict=True)) if pair[0] != pair[1]]
        block = block_of(now.images)
        first = other[0] * block if other else 0
        last = min(first + block, now.images) - 1
        found.append(f"{words} of images changed, the first among images {first:,} to {last:,}")
    return found


def _places(contents: Contents) -> dict[str, int]:
    return {key: place for place, key in enumerate(contents.keys)}


def _many(count: int, what: str) -> str:
    plural = f"{what}es" if what.endswith("s") else f"{what}s"
    return f"1 {what} is" if count == 1 else f"{count:,} {plural} are"


def _first(keys: Sequence[str]) -> str:
    return keys[0] if len(keys) == 1 else f"the first {keys[0]}"


def _listed(names: Sequence[str], shown: int) -> str:
    more = f" and {len(names) - shown:,} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
