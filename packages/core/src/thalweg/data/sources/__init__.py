"""Images as they lie somewhere: folders, tar files, idx files, images with captions."""

import re
from collections.abc import Mapping
from typing import Any

import attrs

from thalweg.config import component
from thalweg.data.sources.names import is_image, key_of
from thalweg.plugins import build_component, registry
from thalweg.protocols import Source
from thalweg.storage import Location

__all__ = ["source_of", "type_of"]

_IDX = re.compile(r"(train|t10k)-images-idx3-ubyte(\.gz)?")
_COCO = re.compile(r"captions_.*\.json")


def source_of(what: str | Mapping[str, Any] | Any, **options: Any) -> Source:
    """The source that a URL, a table with ``type``, or a config states.

    Args:
        what: the name of a source that is found without a URL, such as ``emoji``; of a URL without a
            ``type`` among the options, the type is told by what lies there: a ``.tar`` file or pattern, idx
            files, tar files, captions beside the images, else a folder of images.
        options: further fields of its config, such as ``storage_options``, and its ``type``; for URLs and
            tables.

    Raises:
        ConfigError: if there are no such fields, or no such type.
        DataError: if nothing lies there that can be read.
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
    """The type of the source that lies at a URL, or that is named, as :func:`source_of` tells it."""
    if _is_placeless(url):
        return url
    if "{" in url or url.partition("?")[0].endswith(".tar"):
        return "tar"
    location = Location(url, storage_options)
    names = location.children() if location.is_dir() else []
    if any(_IDX.fullmatch(name) for name in names):
        return "idx"
    if any(name.endswith(".tar") for name in names):
        return "tar"
    described = {key_of(name) for name in names if name.endswith(".txt")}
    beside = any(is_image(name) and key_of(name) in described for name in names)
    if beside or any(_COCO.fullmatch(name) for name in names):
        return "captioned"
    return "folder"


def _is_placeless(what: str) -> bool:
    """Whether this is the name of a source that has no URL; a folder of that name is ``./NAME``."""
    known = registry()
    if what not in known.names("source"):
        return False
    return "url" not in attrs.fields_dict(known.config_class("source", what))
