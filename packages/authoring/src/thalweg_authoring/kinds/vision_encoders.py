"""What a vision encoder keeps, on a handful of images: of pooled features, and of patch tokens."""

from typing import Any

import attrs
import torch

from thalweg.errors import DataError
from thalweg.facts import StoredFeatures
from thalweg.protocols import PatchEncoder, PooledEncoder
from thalweg.teachers import check_stored
from thalweg.types import Features
from thalweg_authoring.encoders import plain, require_frozen, require_identity
from thalweg_authoring.numbers import images, require_near, require_shape
from thalweg_authoring.rules import does_not_apply, require, rule
from thalweg_authoring.subject import Subject

CAPTIONS = ["a photo of a bench", "a photo of a cow", "a photo of a bicycle", "a photo of a clock"]
GRIDS = ((2, 2), (3, 2))
_OFFERS = {"pooled": PooledEncoder, "patches": PatchEncoder}
_BESIDES = {"logits", "classes", "spatial", "captions"}
_COUNT = 4


def pooled(subject: Subject) -> Any:
    """One for grey images, if it offers pooled features; fitted, if it offers ``fit``."""
    facts = attrs.evolve(subject.facts, shape=(1, *subject.facts.shape[1:]))
    one = subject.build(facts)
    if "pooled" not in one.offers:
        does_not_apply("it offers no pooled features")
    if hasattr(one, "fit"):
        one.fit(_grey(subject), torch.arange(_COUNT) % (facts.classes or 1), trained_on="noise")
    return one


def seen(subject: Subject, one: Any, rows: slice = slice(None)) -> Features:
    """Its features of some of four images."""
    shown = _grey(subject)[rows]
    found: Features = one(shown, CAPTIONS[rows]) if "captions" in one.offers else one(shown)
    return found


def patches(subject: Subject) -> Any:
    """One, if it offers patch tokens."""
    one = subject.build()
    if "patches" not in one.offers:
        does_not_apply("it offers no patch tokens")
    return one


def pictures(count: int = 2, channels: int = 3) -> torch.Tensor:
    """Some images."""
    return images(count, channels, 64, 64)


@rule("vision_encoder")
def it_offers_what_it_has(subject: Subject) -> None:
    """``offers`` says pooled or patches, and it has what belongs to them."""
    one = subject.build()
    known = {*_OFFERS, *_BESIDES}
    require(
        set(one.offers) & _OFFERS.keys() and set(one.offers) <= known,
        f"offers is {sorted(one.offers)}; say pooled or patches or both, and beside them any of "
        f"{', '.join(sorted(_BESIDES))}",
    )
    for offer in set(one.offers) & _OFFERS.keys():
        require(
            isinstance(one, _OFFERS[offer]),
            f"it offers {offer} and is no thalweg.protocols.{_OFFERS[offer].__name__}; add what is missing",
        )


@rule("vision_encoder")
def its_name_is_known_before_it_is_loaded(subject: Subject) -> None:
    """The config knows the name under which features are stored."""
    config = subject.config()
    require(hasattr(config, "name"), "its config has no property 'name'")
    name, built = config.name, subject.build().name
    require(name == built, f"the config is named '{name}' and what it builds '{built}'; make both agree")


@rule("vision_encoder")
def features_are_finite_float32_and_one_row_an_image(subject: Subject) -> None:
    """All that is computed is finite float32 on the CPU without a graph, one row an image."""
    one = pooled(subject)
    found = seen(subject, one)
    require(
        isinstance(found, Features), f"it returns a {type(found).__name__}; return thalweg.types.Features"
    )
    for name in ("pooled", "logits", "spatial", "captions"):
        part = getattr(found, name)
        # One may read captions and give no vectors of them.
        good = (part is not None) == (name in one.offers) or (part is None and name == "captions")
        require(good, f"Features.{name} is {'None' if part is None else 'there'}, and offers says otherwise")
        if part is not None:
            good = part.shape[0] == _COUNT and part.dtype == torch.float32 and part.device.type == "cpu"
            require(
                good,
                f"Features.{name} is {part.dtype} of shape {tuple(part.shape)}; return"
                " float32, a row an image",
            )
            require(torch.isfinite(part).all(), f"Features.{name} is not finite")
            require(not part.requires_grad, f"Features.{name} holds on to a graph; see under torch.no_grad()")
    if "classes" in one.offers:
        classes = subject.facts.classes
        good = found.logits is not None and found.logits.shape == (_COUNT, classes)
        require(good, f"it offers logits of the data set's classes, which must be {_COUNT} x {classes}")


@rule("vision_encoder")
def features_do_not_depend_on_the_neighbours_nor_on_the_call(subject: Subject) -> None:
    """An image is encoded alike alone and in a batch, and by another one of the same config."""
    one = pooled(subject)
    whole = seen(subject, one).pooled
    part = seen(subject, one, slice(1, 3)).pooled
    require_near(part, whole[1:3], "an image is encoded differently in a batch; set eval mode", 1e-4, 1e-4)
    require_near(
        seen(subject, pooled(subject)).pooled, whole, "another one of the same config sees something else"
    )


@rule("vision_encoder")
def it_says_what_it_is(subject: Subject) -> None:
    """``identity`` is plain data that names the type, and numbers are named after the features."""
    one = pooled(subject)
    require_identity(subject, one, pooled(subject))
    require(one.title, "it has no title")
    number = one.number_name("frechet_distance")
    require(
        number and number != "frechet_distance" and number != "fid",
        f"its Frechet distance is called '{number}'; name it after the features (only"
        " published Inception says fid)",
    )


@rule("vision_encoder")
def a_finite_token_for_each_place(subject: Subject) -> None:
    """Of grey and coloured images it gives a finite float32 token for each place of any grid."""
    one = patches(subject)
    for grid in GRIDS:
        for channels in (1, 3):
            found = one.patch_tokens(pictures(channels=channels), grid)
            require_shape(f"tokens of a {grid} grid", found, (2, grid[0] * grid[1], one.width), torch.float32)
            require(torch.isfinite(found).all(), "its tokens are not finite")
            require(found.std() > 0, "its tokens are all the same")


@rule("vision_encoder")
def tokens_come_row_by_row(subject: Subject) -> None:
    """A change in the lower left of an image changes the token of that place most."""
    one = patches(subject)
    shown = torch.full((2, 3, 64, 96), 128, dtype=torch.uint8)
    shown[1, :, 32:, :32] = 255
    before, changed = one.patch_tokens(shown, (2, 3))
    place = int((changed - before).norm(dim=-1).argmax())
    require(
        place == 3,
        f"a change of place 3 of a 2 x 3 grid shows at {place}; order tokens row by row, no class token",
    )


@rule("vision_encoder")
def a_sample_does_not_depend_on_its_neighbours_nor_on_the_call(subject: Subject) -> None:
    """Patch tokens of an image are alike alone and in a batch, and of another one of the same config."""
    one, shown = patches(subject), pictures(3)
    whole = one.patch_tokens(shown, (2, 2))
    # bfloat16 keeps 8 bits, and how sums are split depends on the batch.
    alone = one.patch_tokens(shown[1:2], (2, 2))
    require_near(alone, whole[1:2], "an image is encoded differently in a batch", 2**-6, 2**-6)
    another = subject.build().patch_tokens(shown, (2, 2))
    require_near(another, whole, "another one of the same config sees something else")


@rule("vision_encoder")
def it_is_frozen(subject: Subject) -> None:
    """No gradient flows into an encoder of patch tokens, and it is in eval mode."""
    one = patches(subject)
    require(
        not one.patch_tokens(pictures(), (2, 2)).requires_grad,
        "its tokens hold on to a graph; see under torch.no_grad()",
    )
    require_frozen(one)


@rule("vision_encoder")
def the_identity_is_plain_and_the_same_every_time(subject: Subject) -> None:
    """``patch_identity`` is plain data that names the type."""
    require_identity(subject, patches(subject), subject.build(), "patch_identity")


@rule("vision_encoder")
def what_it_stored_is_its_own_and_nothing_else_is(subject: Subject) -> None:
    """The config's ``patch_identity`` agrees with what it stored, and not with what another one stored."""
    one, config = patches(subject), subject.config()
    require(hasattr(config, "patch_identity"), "its config has no property 'patch_identity'")
    stored = StoredFeatures((2, 2), one.width, plain(one.patch_identity) or {})
    try:
        check_stored(config, stored)
    except DataError as error:
        require(False, f"it refuses what it stored itself: {error}")
    try:
        check_stored(config, attrs.evolve(stored, identity={**stored.identity, "type": "another"}))
    except DataError:
        return
    require(
        False, "features of another teacher pass for its own; let the config's patch_identity have 'type'"
    )


def _grey(subject: Subject) -> torch.Tensor:
    return images(_COUNT, 1, *subject.facts.shape[1:])
