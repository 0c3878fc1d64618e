"""Refiners for Thalweg.

Names are looked up when they are first used: plugins load without torch.
"""

from typing import TYPE_CHECKING

from thalweg.lazy_names import lazy_names

if TYPE_CHECKING:
    from thalweg_refiners.film import FiLM as FiLM
    from thalweg_refiners.film import FiLMConfig as FiLMConfig
    from thalweg_refiners.gated import Gated as Gated
    from thalweg_refiners.gated import GatedConfig as GatedConfig
    from thalweg_refiners.plain import Plain as Plain
    from thalweg_refiners.plain import PlainConfig as PlainConfig
    from thalweg_refiners.vera import VeRA as VeRA
    from thalweg_refiners.vera import VeRAConfig as VeRAConfig

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "thalweg_refiners.film": "FiLM FiLMConfig",
        "thalweg_refiners.gated": "Gated GatedConfig",
        "thalweg_refiners.plain": "Plain PlainConfig",
        "thalweg_refiners.vera": "VeRA VeRAConfig",
    },
)
