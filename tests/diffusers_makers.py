"""Small transformers of diffusers with random weights, and folders of them."""

import json
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from thalweg.import_options import ImportOptions

DIT: dict[str, Any] = {
    "num_attention_heads": 4,
    "attention_head_dim": 8,
    "in_channels": 4,
    "out_channels": 8,
    "num_layers": 3,
    "sample_size": 8,
    "patch_size": 2,
    "num_embeds_ada_norm": 10,
}
SD3: dict[str, Any] = {
    "sample_size": 8,
    "patch_size": 2,
    "in_channels": 4,
    "out_channels": 4,
    "num_layers": 3,
    "attention_head_dim": 8,
    "num_attention_heads": 4,
    "joint_attention_dim": 24,
    "caption_projection_dim": 32,
    "pooled_projection_dim": 12,
    "pos_embed_max_size": 6,
}
TOKENS = 5
DDIM = {"_class_name": "DDIMScheduler", "beta_start": 1e-4, "beta_end": 0.02, "beta_schedule": "linear"}
DDIM |= {"num_train_timesteps": 1000, "prediction_type": "epsilon"}
FLOW = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 1.0}


def _model(name: str, settings: dict[str, Any], seed: int) -> Any:
    import diffusers  # takes seconds

    model = getattr(diffusers, name)(**settings).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in model.parameters():
            scale = weight.shape[-1] ** -0.5 if weight.dim() > 1 else 0.2
            weight.copy_(torch.randn(weight.shape, generator=draw) * scale + float(weight.numel() == 8))
        if name == "DiTTransformer2DModel":
            first = model.transformer_blocks[0].norm1.emb.state_dict()
            for block in model.transformer_blocks[1:]:
                block.norm1.emb.load_state_dict(first)
    return model


def dit(seed: int = 0, **settings: Any) -> Any:
    """A DiT, whose blocks share their embeddings as those of released ones do."""
    return _model("DiTTransformer2DModel", {**DIT, **settings}, seed)


def sd3(seed: int = 0, **settings: Any) -> Any:
    """A transformer of Stable Diffusion 3."""
    return _model("SD3Transformer2DModel", {**SD3, **settings}, seed)


def pipeline(folder: Path, model: Any, scheduler: dict[str, Any] = DDIM, **saving: Any) -> Path:
    """A pipeline's folder with this transformer."""
    (folder / "scheduler").mkdir(parents=True)
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(scheduler))
    (folder / "model_index.json").write_text(json.dumps({"_class_name": "DiTPipeline"}))
    model.save_pretrained(folder / "transformer", **saving)
    return folder


def edited(folder: Path, **settings: Any) -> Path:
    """A model's folder whose settings state something else; None takes one away."""
    file = folder / "config.json"
    found = {**json.loads(file.read_text()), **settings}
    file.write_text(json.dumps({name: one for name, one in found.items() if one is not None}))
    return folder


def replaced(folder: Path, tensors: dict[str, Tensor]) -> Path:
    """A model's folder with other tensors."""
    save_file(tensors, folder / "diffusion_pytorch_model.safetensors")
    return folder


def checkpoint(name: str) -> tuple[dict[str, Tensor], ImportOptions]:
    """What the conformance of an importer is checked on."""
    model = dit() if name == "diffusers-dit" else sd3(qk_norm="rms_norm", dual_attention_layers=(0,))
    arguments = {**model.config, "_class_name": type(model).__name__}
    if name == "diffusers-dit":
        options = ImportOptions(arguments={**arguments, "scheduler": DDIM})
    else:
        options = ImportOptions(tokens=TOKENS, arguments=arguments)
    return {key: one.clone() for key, one in model.state_dict().items()}, options
