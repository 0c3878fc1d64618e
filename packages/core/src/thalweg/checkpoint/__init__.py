"""Checkpoints: folders of safetensors and JSON that are there whole or not at all.

A checkpoint is written beside its place, flushed to the disk, given a manifest with the SHA-256 of every
file, and renamed. Nothing is pickled. This package knows nothing of training: files and names only.
"""

from thalweg.checkpoint import remote as remote
from thalweg.checkpoint.folder import LATEST as LATEST
from thalweg.checkpoint.folder import begin as begin
from thalweg.checkpoint.folder import candidates as candidates
from thalweg.checkpoint.folder import checkpoints as checkpoints
from thalweg.checkpoint.folder import clean as clean
from thalweg.checkpoint.folder import discard as discard
from thalweg.checkpoint.folder import latest_complete as latest_complete
from thalweg.checkpoint.folder import partial_of as partial_of
from thalweg.checkpoint.folder import path_of as path_of
from thalweg.checkpoint.folder import publish as publish
from thalweg.checkpoint.folder import rotate as rotate
from thalweg.checkpoint.folder import step_of as step_of
from thalweg.checkpoint.manifest import MANIFEST as MANIFEST
from thalweg.checkpoint.manifest import listed as listed
from thalweg.checkpoint.manifest import verify as verify
from thalweg.checkpoint.manifest import write_manifest as write_manifest
from thalweg.checkpoint.remote import kept_config as kept_config
from thalweg.checkpoint.tensors import TensorGroup as TensorGroup
from thalweg.checkpoint.tensors import TensorSlice as TensorSlice
from thalweg.checkpoint.tensors import file_name as file_name
from thalweg.checkpoint.tensors import read_document as read_document
from thalweg.checkpoint.tensors import write_document as write_document
from thalweg.checkpoint.tensors import write_slices as write_slices
