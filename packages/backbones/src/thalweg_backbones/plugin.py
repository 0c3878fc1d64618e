"""The backbones, autoencoders, teachers and importers of this distribution."""

import thalweg
from thalweg.hookspecs import Register

api_version = 1


@thalweg.hookimpl
def thalweg_components(register: Register) -> None:
    """Register them; nothing is imported until one is used."""
    register("backbone", "dit", "thalweg_backbones.dit:DiTConfig")
    register("backbone", "mmdit", "thalweg_backbones.mmdit:MMDiTConfig")
    register("backbone", "mlp", "thalweg_backbones.mlp:MLPConfig")
    register("autoencoder", "sd-vae", "thalweg_backbones.autoencoder.sd_vae:SDVAEConfig")
    register("text_encoder", "minilm", "thalweg_backbones.text.minilm:MiniLMConfig")
    register("text_encoder", "clip", "thalweg_backbones.text.clip:ClipTextConfig")
    register("text_encoder", "t5", "thalweg_backbones.text.t5:T5Config")
    register("importer", "sit", "thalweg_backbones.importers.sit:SiTImporterConfig")
    register("importer", "repa", "thalweg_backbones.importers.repa:REPAImporterConfig")
    register("importer", "repa-t2i", "thalweg_backbones.importers.repa_t2i:REPATextImporterConfig")
    register("importer", "deepflow", "thalweg_backbones.importers.deepflow:DeepFlowImporterConfig")
    register("teacher", "dinov2", "thalweg_backbones.teachers.dinov2:DinoV2TeacherConfig")
    register("teacher", "dinov1", "thalweg_backbones.teachers.dinov1:DinoV1TeacherConfig")
    register("teacher", "mae", "thalweg_backbones.teachers.mae:MAETeacherConfig")
    register("teacher", "clip", "thalweg_backbones.teachers.clip:ClipTeacherConfig")
    register("teacher", "timm", "thalweg_backbones.teachers.timm_model:TimmTeacherConfig")
    register(
        "teacher",
        "efficientnet-lite0",
        "thalweg_backbones.teachers.lite0:Lite0TeacherConfig",
    )
