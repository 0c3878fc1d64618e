"""What an exporter makes of a network: tensors under another program's names, and texts beside them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import attrs
from torch import Tensor


@attrs.frozen(eq=False)
class Exported:
    """A network for another program.

    Attributes:
        tensors: by the names of that program.
        place: of the file of tensors in the folder that is written, such as ``"model/model.safetensors"``;
            empty where that file is all that is written. A file ``.metadata`` makes its folder one of
            ``torch.distributed.checkpoint``.
        arguments: what a training script keeps beside the tensors of such a file, as plain values.
        files: texts of the folder's other files, by their places in it.
        left: what of the network the other program has no place for, in words.
        notes: what else should be known, a sentence each.
    """

    tensors: Mapping[str, Tensor]
    place: str = ""
    arguments: Mapping[str, Any] = MappingProxyType({})
    files: Mapping[str, str] = MappingProxyType({})
    left: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
