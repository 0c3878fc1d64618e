"""``dataset.json``, in which the layout of EDM, StyleGAN and REPA states the class of each image.

Its images are in folders of a thousand, ``00000/img00000000.png``, which mean nothing:
``{"labels": [["00000/img00000000.png", 6], ...]}``, or ``{"labels": null}`` where there are no classes.

T. Karras et al., Elucidating the Design Space of Diffusion-Based Generative Models, 2022, who took it over
from Training Generative Adversarial Networks with Limited Data, 2020.
"""

from collections.abc import Sequence
from pathlib import PurePosixPath
from typing import Any

import attrs

from thalweg.data.sources.names import hidden_in, leads_astray
from thalweg.errors import DataError
from thalweg.facts import MOST_CLASSES
from thalweg.regular import parse_json
from thalweg.storage.redaction import excerpt

LIST = "dataset.json"

LARGEST_LIST = 2**30
"""Bytes; a million images take some 50 MB."""


@attrs.frozen
class Listing:
    """What such a file says.

    Attributes:
        where: the file, for errors.
        labels: the class of each image by its path beside the file; None where it states none.
    """

    where: str
    labels: dict[str, int] | None

    def labels_of(self, names: Sequence[str]) -> list[int] | None:
        """The class of each image, None where there are none.

        Raises:
            DataError: if images and list do not belong together.
        """
        if self.labels is None:
            return None
        there = set(names)
        lost = [name for name in self.labels if name not in there and hidden_in(name) is None]
        if lost:
            raise DataError(
                f"{self.where}: {len(lost)} images that it lists are not there as jpg, png or webp, the "
                f"first is {lost[0]}; add them, or take them out of the list"
            )
        bare = [name for name in names if name not in self.labels]
        if bare:
            raise DataError(
                f"{self.where}: {len(bare)} images are there and not listed, the first is {bare[0]}; list "
                "them, or take them away"
            )
        return [self.labels[name] for name in names]


def listing(data: bytes, where: str) -> Listing | None:
    """What the file says; None if it is another one of that name, without ``labels``.

    Args:
        data: the JSON.
        where: what it is called in errors.

    Raises:
        DataError: if it is no JSON, its labels are of another form, or it lists an image twice.
    """
    try:
        content: Any = parse_json(data)
    except ValueError as error:
        raise DataError(f"{where} is no JSON ({error}); correct it or take it away") from error
    if not isinstance(content, dict) or "labels" not in content:
        return None
    given = content["labels"]
    if given is None:
        return Listing(where, None)
    pairs = list(given.items()) if isinstance(given, dict) else given
    if not isinstance(pairs, list):
        raise DataError(f"{where} has labels that are no list; write [[path, class], ...], or null")
    labels: dict[str, int] = {}
    for pair in pairs:
        name, label = _entry(pair, where)
        if name in labels:
            raise DataError(f"{where} lists {name} twice; list each image once")
        labels[name] = label
    return Listing(where, labels)


def in_chunks(names: Sequence[str]) -> bool:
    """Whether images are in folders of running numbers, which are no classes.

    So does what EDM's and StyleGAN's tool writes (``00001/img00001000.png``), img2dataset
    (``00001/000010000.jpg``) and FFHQ (``01000/01234.png``).
    """
    return bool(names) and all(map(_in_its_chunk, names))


def _in_its_chunk(name: str) -> bool:
    path = PurePosixPath(name)
    folder = path.parts[0]
    if len(path.parts) != 2 or not (folder.isascii() and folder.isdecimal() and len(folder) >= 5):
        return False
    number = path.stem[len(path.stem.rstrip("0123456789")) :]
    if len(number) == len(folder):
        return int(folder) % 1000 == 0 and int(number) // 1000 * 1000 == int(folder)
    return len(number) > len(folder) and number.startswith(folder)


def _entry(pair: Any, where: str) -> tuple[str, int]:
    if not (isinstance(pair, list | tuple) and len(pair) == 2 and isinstance(pair[0], str)):
        raise DataError(f"{where} has the entry {excerpt(repr(pair), 40)}; each must be a path and a class")
    name = pair[0].replace("\\", "/").removeprefix("./")
    if leads_astray(name):
        raise DataError(f"{where} names the file {name!r}, which leads out of its folder; use relative names")
    return name, _class(pair[1], name, where)


def _class(label: Any, name: str, where: str) -> int:
    if type(label) is int and 0 <= label < MOST_CLASSES:
        return label
    shown = excerpt(repr(label), 40)
    if isinstance(label, list):
        raise DataError(
            f"{where}: the label of {name} is a vector, {shown}, and vectors are not learnt; state the "
            "class, an integer from 0"
        )
    raise DataError(
        f"{where}: the label of {name} is {shown}; it must be a class, an integer from 0 up to "
        f"{MOST_CLASSES - 1}"
    )
