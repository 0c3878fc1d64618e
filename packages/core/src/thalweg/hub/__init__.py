"""Saved networks on the Hugging Face Hub: what is sent there, and the card that says what it is."""

from typing import TYPE_CHECKING

from thalweg.lazy_names import lazy_names

if TYPE_CHECKING:
    from thalweg.hub.pushing import push as push
    from thalweg.hub.pushing import push_network as push_network
    from thalweg.hub.target import Pushed as Pushed

__getattr__, __dir__, __all__ = lazy_names(
    __name__, {"thalweg.hub.pushing": "push push_network", "thalweg.hub.target": "Pushed"}
)
