"""The backbones and importers of this distribution."""

import thalweg
from thalweg.hookspecs import Register

api_version = 1


@thalweg.hookimpl
def thalweg_components(register: Register) -> None:
    """Register them; nothing is imported until one is used."""
    register("backbone", "dit", "thalweg_backbones.dit:DiTConfig")
    register("importer", "sit", "thalweg_backbones.importers.sit:SiTImporterConfig")
    register("importer", "repa", "thalweg_backbones.importers.repa:REPAImporterConfig")
    register("importer", "deepflow", "thalweg_backbones.importers.deepflow:DeepFlowImporterConfig")
