"""Images as they are stored: folders, tar files, idx files, images with captions."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import attrs

from thalweg.config import component
from thalweg.data.sources.braces import is_pattern
from thalweg.data.sources.captions import COCO
from thalweg.data.sources.huggingface.opening import SAVED, SAVED_SPLITS
from thalweg.data.sources.listed import LIST
from thalweg.data.sources.names import is_hidden, is_image, key_of
from thalweg.data.sources.refusals import check_place, is_compressed_tar, is_tar
from thalweg.plugins import build_component, registry
from thalweg.protocols import Source
from thalweg.storage import Location

__all__ = ["source_of", "type_of"]

_IDX = re.compile(r"(train|t10k)-images[-.]idx3-ubyte(\.gz)?")
_CHUNK = re.compile(r"\d{5,}")


def source_of(what: str | Mapping[str, Any] | Any, **options: Any) -> Source:
    """The source that a URL, a table with ``type``, or a config states.

    Args:
        what: the name of a source that is found without a URL, such as ``emoji``; of a URL without a
            ``type`` among the options, the type is determined by what is stored there: a ``.tar`` file or
            pattern, idx files, tar files, captions beside the images, else a folder of images.
        options: further fields of its config, such as ``storage_options``, and its ``type``; for URLs and
            tables.

    Raises:
        ConfigError: if there are no such fields, or no such type.
        DataError: if nothing is stored there that can be read.
    """
    if not options.get("storage_options"):
        options.pop("storage_options", None)  # not every source takes them
    if isinstance(what, str):
        kind = options.pop("type", None) or type_of(what, options.get("storage_options"))
        what = {"type": kind} if kind == what and _is_placeless(what) else {"type": kind, "url": what}
    config = component("source", {**what, **options} if isinstance(what, Mapping) else what)
    source: Source = build_component(config)
    return source


def type_of(url: str, storage_options: Mapping[str, Any] | None = None) -> str:
    """The type of the source at a URL, or that is named, as :func:`source_of` determines it."""
    if _is_placeless(url):
        return url
    if is_pattern(url):
        return "tar"
    location = Location(url, storage_options)
    check_place(location)
    if is_tar(location):
        return "tar"
    names = [name for name in location.children() if not is_hidden(name)] if location.is_dir() else []
    if SAVED in names or SAVED_SPLITS in names:
        return "huggingface"
    if any(_IDX.fullmatch(name) for name in names):
        return "idx"
    if any(name.lower().endswith(".tar") for name in names):
        return "tar"
    if LIST in names:
        return "folder"
    if _has_captions(names) or any(COCO.fullmatch(name) for name in names):
        return "captioned"
    chunk = next((name for name in names if _CHUNK.fullmatch(name)), None)
    if chunk is not None and not any(is_image(name) for name in names):
        # As img2dataset writes files: folders of running numbers, which are no classes.
        inside = location / chunk
        if inside.is_dir() and _has_captions([name for name in inside.children() if not is_hidden(name)]):
            return "captioned"
    # After the others: img2dataset puts a table of what it has fetched beside its folders and tar files.
    if any(name.lower().endswith(".parquet") for name in names):
        return "huggingface"
    if any(is_compressed_tar(name) for name in names) and not any(map(is_image, names)):
        return "tar"  # which says what is to be done with them
    return "folder"


def _has_captions(names: Sequence[str]) -> bool:
    """Whether there is a text beside an image."""
    described = {key_of(name) for name in names if name.lower().endswith(".txt")}
    return any(is_image(name) and key_of(name) in described for name in names)


def _is_placeless(what: str) -> bool:
    """Whether this is the name of a source that can do without a URL; a folder of that name is ``./NAME``."""
    known = registry()
    if what not in known.names("source"):
        return False
    field = attrs.fields_dict(known.config_class("source", what)).get("url")
    return field is None or field.default is not attrs.NOTHING
