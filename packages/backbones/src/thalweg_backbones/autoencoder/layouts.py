"""How published files name the tensors of an autoencoder.

Our modules have the names of diffusers; latent-diffusion's are formed from them.
"""

import re
from collections.abc import Callable, Iterable

import attrs

_RENAMED = {
    ".mid_block.resnets.0.": ".mid.block_1.",
    ".mid_block.attentions.0.": ".mid.attn_1.",
    ".mid_block.resnets.1.": ".mid.block_2.",
    ".down_blocks.": ".down.",
    ".resnets.": ".block.",
    ".attentions.": ".attn.",
    ".downsamplers.0.": ".downsample.",
    ".upsamplers.0.": ".upsample.",
    ".conv_shortcut.": ".nin_shortcut.",
    ".conv_norm_out.": ".norm_out.",
    ".group_norm.": ".norm.",
    ".to_q.": ".q.",
    ".to_k.": ".k.",
    ".to_v.": ".v.",
    ".to_out.0.": ".proj_out.",
}
_UP = re.compile(r"\.up_blocks\.(\d+)\.")
# What the layers of the attention were called before diffusers 0.15.
_OLD_NAMES = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}
_OLD = re.compile(rf"(.*\.attentions\.\d+)\.({'|'.join(_OLD_NAMES)})\.(weight|bias)")


@attrs.frozen(eq=False)
class Layout:
    """The names of one program.

    Attributes:
        program: whose layout it is, for messages.
        first: the tensor by which it is known.
        residual: matches the first convolution of an encoder's residual block, with its level and its place.
        attention: matches an attention block of a level, with ``encoder`` or ``decoder`` and the level.
        finest_up: whether levels of the decoder are counted from the finest, as the encoder's are.
        ask: what to give in place of a file that is of another thing.
        of: the name of a tensor of ours, and how many levels there are, to its name in the file.
    """

    program: str
    first: str
    residual: re.Pattern[str]
    attention: re.Pattern[str]
    finest_up: bool
    ask: str
    of: Callable[[str, int], str]


def _latent_diffusion(name: str, levels: int) -> str:
    for ours, theirs in _RENAMED.items():
        name = name.replace(ours, theirs)
    return _UP.sub(lambda found: f".up.{levels - 1 - int(found[1])}.", name)


DIFFUSERS = Layout(
    program="diffusers' AutoencoderKL",
    first="encoder.down_blocks.0.resnets.0.conv1.weight",
    residual=re.compile(r"encoder\.down_blocks\.(\d+)\.resnets\.(\d+)\.conv1\.weight"),
    attention=re.compile(r"(encoder|decoder)\.(?:down|up)_blocks\.(\d+)\.attentions\.0\.group_norm\.weight"),
    finest_up=False,
    ask="give diffusion_pytorch_model.safetensors of one",
    of=lambda name, _: name,
)
LATENT_DIFFUSION = Layout(
    program="latent-diffusion's AutoencoderKL",
    first="encoder.down.0.block.0.conv1.weight",
    residual=re.compile(r"encoder\.down\.(\d+)\.block\.(\d+)\.conv1\.weight"),
    attention=re.compile(r"(encoder|decoder)\.(?:down|up)\.(\d+)\.attn\.0\.norm\.weight"),
    finest_up=True,
    ask="give the checkpoint of one",
    of=_latent_diffusion,
)


def layout_of(names: Iterable[str]) -> Layout:
    """Whose names they are; diffusers' where they are nobody's."""
    return LATENT_DIFFUSION if any(map(LATENT_DIFFUSION.residual.fullmatch, names)) else DIFFUSERS


def present_name(name: str) -> str:
    """A tensor's name in diffusers today; any other name as it is."""
    old = _OLD.fullmatch(name)
    return f"{old[1]}.{_OLD_NAMES[old[2]]}.{old[3]}" if old else name
