"""Checkpoints: folders of safetensors and JSON that are there whole or not at all.

A checkpoint is written beside its place, flushed to the disk, given a manifest with the SHA-256 of every
file, and renamed. Nothing is pickled. This package knows nothing of training: files and names only.
"""

from thalweg.training.checkpoint import remote
from thalweg.training.checkpoint.finding import (
    LATEST,
    candidates,
    checkpoints,
    clean,
    newest,
    place_of,
    step_of,
)
from thalweg.training.checkpoint.keeping import kept_config, kept_config_there
from thalweg.training.checkpoint.manifest import MANIFEST, listed, verify, write_manifest
from thalweg.training.checkpoint.pieces import Piece, file_name, write_pieces
from thalweg.training.checkpoint.publishing import begin, discard, follow, partial_of, publish
from thalweg.training.checkpoint.reading import TensorGroup, read_document, write_document

__all__ = [
    "LATEST",
    "MANIFEST",
    "Piece",
    "TensorGroup",
    "begin",
    "candidates",
    "checkpoints",
    "clean",
    "discard",
    "file_name",
    "follow",
    "kept_config",
    "kept_config_there",
    "listed",
    "newest",
    "partial_of",
    "place_of",
    "publish",
    "read_document",
    "remote",
    "step_of",
    "verify",
    "write_document",
    "write_manifest",
    "write_pieces",
]
