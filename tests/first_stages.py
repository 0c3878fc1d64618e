"""Autoencoders in the layout of latent-diffusion's code: random tensors, and their passes written out.

Independent of the library's modules: what an autoencoder must give is computed here from the file.
"""

import torch
from torch import Tensor
from torch.nn import functional

GROUPS = 32


def first_stage(
    widths: tuple[int, ...] = (32, 64),
    residuals: int = 1,
    latent: int = 4,
    attention: tuple[int, ...] = (),
    inner: int | None = None,
    seed: int = 0,
) -> dict[str, Tensor]:
    """Random tensors under their public names; ``attention`` lists levels, the finest is 0."""
    draw = torch.Generator().manual_seed(seed)
    found: dict[str, Tensor] = {}
    inner = latent if inner is None else inner

    def conv(name: str, into: int, out: int, size: int = 3) -> None:
        found[f"{name}.weight"] = torch.randn(out, into, size, size, generator=draw) / (into * size**2) ** 0.5
        found[f"{name}.bias"] = 0.2 * torch.randn(out, generator=draw)

    def norm(name: str, width: int) -> None:
        found[f"{name}.weight"] = 1 + 0.2 * torch.randn(width, generator=draw)
        found[f"{name}.bias"] = 0.2 * torch.randn(width, generator=draw)

    def block(name: str, into: int, out: int) -> None:
        norm(f"{name}.norm1", into)
        conv(f"{name}.conv1", into, out)
        norm(f"{name}.norm2", out)
        conv(f"{name}.conv2", out, out)
        if into != out:
            conv(f"{name}.nin_shortcut", into, out, 1)

    def attend(name: str, width: int) -> None:
        norm(f"{name}.norm", width)
        for one in ("q", "k", "v", "proj_out"):
            conv(f"{name}.{one}", width, width, 1)

    def half(name: str, way: str, order: list[int], blocks: int, resize: str, before: int) -> None:
        for place, level in enumerate(order):
            for index in range(blocks):
                block(f"{name}.{way}.{level}.block.{index}", before, widths[level])
                before = widths[level]
                if level in attention:
                    attend(f"{name}.{way}.{level}.attn.{index}", before)
            if place < len(order) - 1:
                conv(f"{name}.{way}.{level}.{resize}.conv", before, before)

    def middle(name: str) -> None:
        block(f"{name}.mid.block_1", widths[-1], widths[-1])
        attend(f"{name}.mid.attn_1", widths[-1])
        block(f"{name}.mid.block_2", widths[-1], widths[-1])

    levels = list(range(len(widths)))
    conv("encoder.conv_in", 3, widths[0])
    half("encoder", "down", levels, residuals, "downsample", widths[0])
    middle("encoder")
    norm("encoder.norm_out", widths[-1])
    conv("encoder.conv_out", widths[-1], 2 * inner)
    conv("quant_conv", 2 * inner, 2 * latent, 1)
    conv("post_quant_conv", latent, inner, 1)
    conv("decoder.conv_in", inner, widths[-1])
    middle("decoder")
    half("decoder", "up", levels[::-1], residuals + 1, "upsample", widths[-1])
    norm("decoder.norm_out", widths[0])
    conv("decoder.conv_out", widths[0], 3)
    return found


def moments(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """Mean and logarithm of the variance for images in [-1, 1], in their precision."""
    w = {name: tensor.to(images.dtype) for name, tensor in weights.items()}
    x = _conv(w, "encoder.conv_in", images)
    for level in range(_count(w, "encoder.down")):
        x = _level(w, f"encoder.down.{level}", x)
        if f"encoder.down.{level}.downsample.conv.weight" in w:
            name = f"encoder.down.{level}.downsample.conv"
            padded = functional.pad(x, (0, 1, 0, 1))
            x = functional.conv2d(padded, w[f"{name}.weight"], w[f"{name}.bias"], stride=2)
    x = _conv(w, "encoder.conv_out", _silu(_norm(w, "encoder.norm_out", _middle(w, "encoder", x))))
    return _conv(w, "quant_conv", x)


def decoded(weights: dict[str, Tensor], latents: Tensor) -> Tensor:
    """Images in about [-1, 1], in the precision of the latents."""
    w = {name: tensor.to(latents.dtype) for name, tensor in weights.items()}
    x = _middle(w, "decoder", _conv(w, "decoder.conv_in", _conv(w, "post_quant_conv", latents)))
    for level in reversed(range(_count(w, "decoder.up"))):
        x = _level(w, f"decoder.up.{level}", x)
        if level > 0:
            doubled = x.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)
            x = _conv(w, f"decoder.up.{level}.upsample.conv", doubled)
    return _conv(w, "decoder.conv_out", _silu(_norm(w, "decoder.norm_out", x)))


def _count(w: dict[str, Tensor], prefix: str) -> int:
    return 1 + max(int(name[len(prefix) + 1 :].split(".")[0]) for name in w if name.startswith(f"{prefix}."))


def _level(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    for index in range(_count(w, f"{name}.block")):
        x = _block(w, f"{name}.block.{index}", x)
        if f"{name}.attn.{index}.norm.weight" in w:
            x = _attend(w, f"{name}.attn.{index}", x)
    return x


def _middle(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    x = _attend(w, f"{name}.mid.attn_1", _block(w, f"{name}.mid.block_1", x))
    return _block(w, f"{name}.mid.block_2", x)


def _block(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    h = _conv(w, f"{name}.conv1", _silu(_norm(w, f"{name}.norm1", x)))
    h = _conv(w, f"{name}.conv2", _silu(_norm(w, f"{name}.norm2", h)))
    return h + (_conv(w, f"{name}.nin_shortcut", x) if f"{name}.nin_shortcut.weight" in w else x)


def _attend(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    normed = _norm(w, f"{name}.norm", x)
    q, k, v = (_conv(w, f"{name}.{one}", normed).flatten(2) for one in "qkv")
    share = torch.einsum("ndi,ndj->nij", q, k).div(q.shape[1] ** 0.5).softmax(dim=-1)
    seen = torch.einsum("nij,ndj->ndi", share, v).view_as(x)
    return x + _conv(w, f"{name}.proj_out", seen)


def _conv(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    weight = w[f"{name}.weight"]
    return functional.conv2d(x, weight, w[f"{name}.bias"], padding=weight.shape[-1] // 2)


def _norm(w: dict[str, Tensor], name: str, x: Tensor) -> Tensor:
    grouped = x.unflatten(1, (GROUPS, -1)).flatten(2)
    centred = grouped - grouped.mean(dim=2, keepdim=True)
    normed = (centred / (centred.square().mean(dim=2, keepdim=True) + 1e-6).sqrt()).view_as(x)
    return normed * w[f"{name}.weight"].view(-1, 1, 1) + w[f"{name}.bias"].view(-1, 1, 1)


def _silu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(x)
