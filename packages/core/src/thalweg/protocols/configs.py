"""What is registered."""

from typing import Any, Protocol

from thalweg.facts import Facts


class Config(Protocol):
    """A frozen attrs class with the hyperparameters of a component."""

    def build(self, facts: Facts) -> Any:
        """Build the component."""
        ...
