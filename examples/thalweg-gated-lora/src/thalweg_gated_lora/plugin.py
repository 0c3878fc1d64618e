"""What Thalweg is told of this package. It is imported by every command, so it imports nothing heavy."""

from thalweg import hookimpl
from thalweg.hookspecs import Register

api_version = 1


@hookimpl
def thalweg_components(register: Register) -> None:
    """Register the refiner; its module is imported when it is first used."""
    register("refiner", "gated_lora", "thalweg_gated_lora.refiner:GatedLoraConfig")
