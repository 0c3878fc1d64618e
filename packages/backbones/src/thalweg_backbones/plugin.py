"""Backbones, autoencoders, text and vision encoders, importers, published weights, and the commands that use
them."""

from pathlib import Path

import click

import thalweg
from thalweg.cli.deferred import DeferredCommand
from thalweg.hookspecs import AddWeights, Register

api_version = 1

_COMMANDS = (
    ("encode", "encoding.command", "Encode images into shards through an autoencoder."),
    ("import", "importers.command", "Turn a released checkpoint into a network of ours."),
    ("export", "exporters.command", "Write a network as another program reads it."),
)


@thalweg.hookimpl
def thalweg_components(register: Register) -> None:
    """Register them; nothing is imported until one is used."""
    register("backbone", "dit", "thalweg_backbones.dit:DiTConfig")
    register("backbone", "lightningdit", "thalweg_backbones.lightningdit:LightningDiTConfig")
    register("backbone", "mmdit", "thalweg_backbones.mmdit:MMDiTConfig")
    register("backbone", "mlp", "thalweg_backbones.mlp:MLPConfig")
    register("autoencoder", "identity", "thalweg_backbones.autoencoder.identity:IdentityConfig")
    register("autoencoder", "sd-vae", "thalweg_backbones.autoencoder.sd_vae:SDVAEConfig")
    register("autoencoder", "va-vae", "thalweg_backbones.autoencoder.va_vae:VAVAEConfig")
    register("text_encoder", "minilm", "thalweg_backbones.text.minilm:MiniLMConfig")
    register("text_encoder", "clip", "thalweg_backbones.text.clip:ClipTextConfig")
    register("text_encoder", "t5", "thalweg_backbones.text.t5:T5Config")
    register("importer", "dit", "thalweg_backbones.importers.dit:DiTImporterConfig")
    register("importer", "sit", "thalweg_backbones.importers.sit:SiTImporterConfig")
    register("importer", "repa", "thalweg_backbones.importers.repa:REPAImporterConfig")
    register("importer", "repa-t2i", "thalweg_backbones.importers.repa_t2i:REPATextImporterConfig")
    register(
        "importer", "lightningdit", "thalweg_backbones.importers.lightningdit:LightningDiTImporterConfig"
    )
    register("importer", "deepflow", "thalweg_backbones.importers.deepflow:DeepFlowImporterConfig")
    register(
        "importer", "diffusers-dit", "thalweg_backbones.importers.diffusers_dit:DiffusersDiTImporterConfig"
    )
    register(
        "importer", "diffusers-sd3", "thalweg_backbones.importers.diffusers_sd3:DiffusersSD3ImporterConfig"
    )
    register("exporter", "sit", "thalweg_backbones.exporters.sit:SiTExporterConfig")
    register("exporter", "repa", "thalweg_backbones.exporters.repa:REPAExporterConfig")
    register("exporter", "repa-t2i", "thalweg_backbones.exporters.repa_t2i:REPATextExporterConfig")
    register("exporter", "deepflow", "thalweg_backbones.exporters.deepflow:DeepFlowExporterConfig")
    register("exporter", "dcp", "thalweg_backbones.exporters.dcp:DCPExporterConfig")
    register("exporter", "safetensors", "thalweg_backbones.exporters.plain:PlainExporterConfig")
    register(
        "exporter", "diffusers-dit", "thalweg_backbones.exporters.diffusers_dit:DiffusersDiTExporterConfig"
    )
    register(
        "exporter",
        "diffusers-pipeline",
        "thalweg_backbones.exporters.diffusers_pipeline:DiffusersPipelineExporterConfig",
    )
    register("vision_encoder", "dinov2", "thalweg_backbones.vision.dinov2:DinoV2Config")
    register("vision_encoder", "dinov1", "thalweg_backbones.vision.dinov1:DinoV1Config")
    register("vision_encoder", "mae", "thalweg_backbones.vision.mae:MAEConfig")
    register("vision_encoder", "clip", "thalweg_backbones.vision.clip:ClipConfig")
    register("vision_encoder", "timm", "thalweg_backbones.vision.timm_model:TimmConfig")
    register("vision_encoder", "inception", "thalweg_backbones.vision.inception:InceptionConfig")
    register("vision_encoder", "lite0", "thalweg_backbones.vision.lite0:Lite0Config")


@thalweg.hookimpl
def thalweg_commands(cli: click.Group) -> None:
    """Add them; each is imported when it is called."""
    for name, place, line in _COMMANDS:
        cli.add_command(DeferredCommand(name, f"thalweg_backbones.{place}:command", line))


@thalweg.hookimpl
def thalweg_weights(add: AddWeights) -> None:
    """Add those that the encoders, autoencoders, importers and evaluations here are made for."""
    add(Path(__file__).with_name("weights.toml"))
