"""Our shards: safetensors files of stored samples beside one ``index.json`` that says what they are.

``index.json`` is written last, so a folder with one is complete. It carries the SHA-256 of every file and
of itself. Names and shapes of the tensors in a shard are in :meth:`ShardHeader.tensors`.
"""

from thalweg.data.shards.file import verify
from thalweg.data.shards.header import ShardHeader, TeacherHeader, TextHeader
from thalweg.data.shards.index import INDEX, FileEntry, ShardIndex, read_index
from thalweg.data.shards.writer import ShardWriter

__all__ = [
    "INDEX",
    "FileEntry",
    "ShardHeader",
    "ShardIndex",
    "ShardWriter",
    "TeacherHeader",
    "TextHeader",
    "read_index",
    "verify",
]
