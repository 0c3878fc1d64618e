"""The text encoder of a job, and what shards hold of its captions."""

import torch
from torch import nn

from thalweg.config import component
from thalweg.data.shards import TextHeader
from thalweg.data.sources.captions import captions_to_learn
from thalweg.encoding.job import EncodingJob
from thalweg.errors import DataError
from thalweg.plugins import build_component
from thalweg.protocols import Source, TextEncoder
from thalweg.storage import redacted


def text_encoder(job: EncodingJob, source: Source, place: torch.device) -> TextEncoder | None:
    """Load it to its device; None where captions are not stored.

    Raises:
        DataError: if the source has no captions, or weights are missing or damaged.
    """
    if job.text is None:
        return None
    if not source.captioned:
        raise DataError(
            f"{redacted(job.source)} has no captions, which are to be encoded; give a source that has, or "
            "leave --text out"
        )
    encoder: TextEncoder = build_component(component("text_encoder", dict(job.text)))
    if isinstance(encoder, nn.Module):
        encoder.to(place)
    return encoder


def text_header(encoder: TextEncoder, source: Source) -> TextHeader:
    """Room for the captions of the image that has the most."""
    most = max(map(len, captions_to_learn(source)))
    return TextHeader(encoder.identity, encoder.length, encoder.width, captions=max(most, 1))
