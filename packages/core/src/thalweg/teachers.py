"""Vision encoders as teachers: their patch tokens, computed or stored."""

from typing import Any

from thalweg.config import plain
from thalweg.errors import ConfigError, DataError
from thalweg.facts import StoredFeatures
from thalweg.protocols import PatchEncoder, VisionEncoder


def patch_encoder(encoder: VisionEncoder) -> PatchEncoder:
    """The same encoder, as one that has patch tokens.

    Raises:
        ConfigError: it has none.
    """
    if "patches" not in encoder.offers or not isinstance(encoder, PatchEncoder):
        raise ConfigError(f"the vision encoder {encoder.name} has no patch tokens; choose another teacher")
    return encoder


def check_stored(config: Any, stored: StoredFeatures) -> None:
    """Compare what the data set says with what a vision encoder's config knows, without loading anything.

    Args:
        config: the config, with ``name`` and ``patch_identity``.
        stored: what the data set says; an empty identity stands for data that are not there yet.

    Raises:
        DataError: if they differ.
    """
    there = stored.identity
    for key, known in dict(plain(config.patch_identity)).items() if there else ():
        found = there.get(key)
        if key == "sha256":
            agrees, how = str(found or "").startswith(known), f"weights of the SHA-256 {found}, not {known}"
        else:
            agrees, how = found == known, f"{key} = {found!r} where the objective's teacher has {known!r}"
        if not agrees:
            raise DataError(
                f"the data set stores features of {config.name} that another teacher has computed: {how}; "
                "encode the images anew by thalweg encode --teacher, or give the objective that teacher"
            )
