"""The refiners of this distribution."""

import thalweg
from thalweg.hookspecs import Register

api_version = 1


@thalweg.hookimpl
def thalweg_components(register: Register) -> None:
    """Register them; nothing is imported until one is used."""
    register("refiner", "plain", "thalweg_refiners.plain:PlainConfig")
    register("refiner", "gated", "thalweg_refiners.gated:GatedConfig")
    register("refiner", "film", "thalweg_refiners.film:FiLMConfig")
    register("refiner", "vera", "thalweg_refiners.vera:VeRAConfig")
