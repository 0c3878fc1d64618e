"""Statistics that are nothing but sums: merging adds them up, whatever the order."""

from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from thalweg.errors import DataError


class Totals:
    """Sums by name; none of them before the first images.

    Attributes:
        names: of all sums.
    """

    names: ClassVar[tuple[str, ...]]

    def __init__(self) -> None:
        self.totals: dict[str, Tensor] = {}

    def add(self, more: Mapping[str, Tensor]) -> None:
        """Add to all sums.

        Raises:
            DataError: if they are of other widths.
        """
        for name, tensor in more.items():
            total = self.totals.get(name)
            if total is not None and total.shape != tensor.shape:
                raise DataError(
                    f"{tensor.shape[-1]} class scores meet {total.shape[-1]}; use one extractor throughout"
                )
            self.totals[name] = tensor.clone() if total is None else total + tensor

    def merge(self, other: "Totals") -> None:
        """Add all of another one."""
        self.add(other.totals)

    def state(self) -> Mapping[str, Tensor]:
        """All sums; none if there were no images."""
        return {name: total.clone() for name, total in self.totals.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Undoes :meth:`state`.

        Raises:
            KeyError: if these are no such sums.
        """
        self.totals = {name: state[name].clone() for name in (self.names if state else ())}
