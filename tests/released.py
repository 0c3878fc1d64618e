"""Forward passes of the released layouts, written out on the tensors under their public names.

Independent of the library's networks: what an imported network must give is computed here from the file.
"""

import torch
from torch import Tensor
from torch.nn import functional

from thalweg_backbones.layers import positions

WIDTH, DEPTH, SIDE, ROWS, HEADS = 32, 4, 8, 11, 4


def layout(variances=False, projectors=False, rows=ROWS, width=WIDTH, depth=DEPTH, seed=0, patch=2, **more):
    """A random checkpoint in the layout of DiT, SiT and REPA."""
    draw = torch.Generator().manual_seed(seed)
    found = {}

    def linear(name, out, into):
        found[f"{name}.weight"] = torch.randn(out, into, generator=draw) / into**0.5
        found[f"{name}.bias"] = 0.2 * torch.randn(out, generator=draw)

    found["pos_embed"] = positions((SIDE // patch, SIDE // patch), width)
    linear("x_embedder.proj", width, 4 * patch * patch)
    found["x_embedder.proj.weight"] = found["x_embedder.proj.weight"].view(width, 4, patch, patch)
    linear("t_embedder.mlp.0", width, 256)
    linear("t_embedder.mlp.2", width, width)
    found["y_embedder.embedding_table.weight"] = torch.randn(rows, width, generator=draw)
    for index in range(depth):
        for name, out, into in (
            ("attn.qkv", 3, 1),
            ("attn.proj", 1, 1),
            ("mlp.fc1", 4, 1),
            ("mlp.fc2", 1, 4),
            ("adaLN_modulation.1", 6, 1),
        ):
            linear(f"blocks.{index}.{name}", out * width, into * width)
    linear("final_layer.linear", patch * patch * 4 * (1 + variances), width)
    linear("final_layer.adaLN_modulation.1", 2 * width, width)
    if projectors:
        linear("projectors.0.0", 8, width)
    return found | more


def lightning_layout(rows=ROWS, depth=2, seed=0, side=4, channels=6, qk_norm=True, shifts=True):
    """A random checkpoint in the layout of LightningDiT, of patches of one pixel."""
    draw = torch.Generator().manual_seed(seed)
    found, hidden, width = {}, int(2 / 3 * 4 * WIDTH), WIDTH

    def linear(name, out, into):
        found[f"{name}.weight"] = torch.randn(out, into, generator=draw) / into**0.5
        found[f"{name}.bias"] = 0.2 * torch.randn(out, generator=draw)

    def norm(name, wide):
        found[f"{name}.weight"] = 1 + 0.2 * torch.randn(wide, generator=draw)

    found["pos_embed"] = positions((side, side), width)
    linear("x_embedder.proj", width, channels)
    found["x_embedder.proj.weight"] = found["x_embedder.proj.weight"].view(width, channels, 1, 1)
    linear("t_embedder.mlp.0", width, 256)
    linear("t_embedder.mlp.2", width, width)
    found["y_embedder.embedding_table.weight"] = torch.randn(rows, width, generator=draw)
    for index in range(depth):
        name = f"blocks.{index}"
        norm(f"{name}.norm1", width)
        linear(f"{name}.attn.qkv", 3 * width, width)
        for one in ("q_norm", "k_norm") if qk_norm else ():
            norm(f"{name}.attn.{one}", width // HEADS)
        linear(f"{name}.attn.proj", width, width)
        norm(f"{name}.norm2", width)
        linear(f"{name}.mlp.w12", 2 * hidden, width)
        linear(f"{name}.mlp.w3", width, hidden)
        linear(f"{name}.adaLN_modulation.1", (6 if shifts else 4) * width, width)
    norm("final_layer.norm_final", width)
    linear("final_layer.linear", channels, width)
    linear("final_layer.adaLN_modulation.1", 2 * width, width)
    turned = _turned(side, width // HEADS)
    found["feat_rope.freqs_cos"], found["feat_rope.freqs_sin"] = turned.cos(), turned.sin()
    return found


def drifted(tensor: Tensor, updates: int = 5_000) -> Tensor:
    """A constant as an average of it becomes in float32, where 0.9999 + 1e-4 is not 1."""
    average = tensor.clone()
    for _ in range(updates):
        average.mul_(0.9999).add_(tensor, alpha=1e-4)
    return average


def sit(weights, x, t, labels, heads):
    """All output channels of a network in the layout of DiT, SiT and REPA, in its own time and sign."""
    w = {name: tensor.float() for name, tensor in weights.items()}
    tokens = _patches(w, x)
    c = _times(w, "t_embedder", t) + w["y_embedder.embedding_table.weight"][labels]
    for index in range(_count(w, "blocks")):
        tokens = _block(w, f"blocks.{index}", tokens, c, heads)
    return _read_out(w, "final_layer", tokens, c, x)


def lightningdit(weights, x, t, labels, heads):
    """The velocity of a network in the layout of LightningDiT, in its own time and sign."""
    w = {name: tensor.float() for name, tensor in weights.items()}
    tokens = _patches(w, x)
    c = functional.silu(_times(w, "t_embedder", t) + w["y_embedder.embedding_table.weight"][labels])
    for index in range(_count(w, "blocks")):
        name = f"blocks.{index}"
        parts = _linear(w, f"{name}.adaLN_modulation.1", c).unsqueeze(1)
        if parts.shape[-1] == 4 * WIDTH:
            scale, gate, mlp_scale, mlp_gate = parts.chunk(4, dim=-1)
            shift = mlp_shift = 0
        else:
            shift, scale, gate, mlp_shift, mlp_scale, mlp_gate = parts.chunk(6, dim=-1)
        seen = _rms(tokens, w[f"{name}.norm1.weight"]) * (1 + scale) + shift
        tokens = tokens + gate * _turning_attention(w, f"{name}.attn", seen, heads)
        seen = _rms(tokens, w[f"{name}.norm2.weight"]) * (1 + mlp_scale) + mlp_shift
        left, right = _linear(w, f"{name}.mlp.w12", seen).chunk(2, dim=-1)
        tokens = tokens + mlp_gate * _linear(w, f"{name}.mlp.w3", left / (1 + torch.exp(-left)) * right)
    shift, scale = _linear(w, "final_layer.adaLN_modulation.1", c).unsqueeze(1).chunk(2, dim=-1)
    normed = _rms(tokens, w["final_layer.norm_final.weight"])
    out = _linear(w, "final_layer.linear", normed * (1 + scale) + shift)
    return out.transpose(1, 2).reshape(x.shape)


def _turning_attention(w, name, x, heads):
    samples, length, width = x.shape
    q, k, v = _linear(w, f"{name}.qkv", x).reshape(samples, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    if f"{name}.q_norm.weight" in w:
        q, k = _rms(q, w[f"{name}.q_norm.weight"]), _rms(k, w[f"{name}.k_norm.weight"])
    angle = _turned(round(length**0.5), width // heads)[:, ::2]
    turn = torch.polar(torch.ones_like(angle), angle)
    q, k = (
        torch.view_as_real(torch.view_as_complex(one.unflatten(-1, (-1, 2)).contiguous()) * turn).flatten(-2)
        for one in (q, k)
    )
    seen = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1) @ v
    return _linear(w, f"{name}.proj", seen.transpose(1, 2).reshape(samples, length, width))


def _turned(side, wide):
    """The angles of 2-D rotary positions, each twice: of the row, then of the column."""
    omega = 10_000.0 ** (-torch.arange(0, wide // 2, 2) / (wide // 2))
    place = torch.arange(side)
    row = (place[:, None] * omega).repeat_interleave(2, dim=1)
    both = [row[:, None].expand(-1, side, -1), row[None].expand(side, -1, -1)]
    return torch.cat(both, dim=-1).flatten(0, 1)


def _rms(x, weight):
    return x / (x.square().mean(-1, keepdim=True) + 1e-6).sqrt() * weight


def deepflow(weights, x, times, labels, heads, clamp=None, ends=None):
    """Velocities of all branches, which end after ``ends`` blocks, equal ones unless given."""
    w = {name: tensor.float() for name, tensor in weights.items()}
    depth, boundaries = _count(w, "blocks"), _count(w, "df_blocks")
    ends = ends or [depth * (one + 1) // (boundaries + 1) for one in range(boundaries)]
    first = tokens = _patches(w, x)
    velocities, start = [], 0
    for branch, end in enumerate([*ends, depth]):
        c = _times(w, "t_embedder", times[branch]) + w["y_embedder.embedding_table.weight"][labels]
        for index in range(start, end):
            tokens = _block(w, f"blocks.{index}", tokens, c, heads)
        last = branch == boundaries
        velocities.append(_read_out(w, "final_layer.1" if last else "final_layer.0", tokens, c, x))
        if not last:
            gap = _times(w, "dt_embedder", times[branch + 1] - times[branch])
            tokens = _vera(w, f"df_blocks.{branch}", tokens, first, gap, heads, clamp)
        start = end
    return torch.stack(velocities)


def mmdit(weights, x, t, captions, heads):
    """A network of joint blocks, the context before the image."""
    w = {name: tensor.float() for name, tensor in weights.items()}
    tokens, c = _patches(w, x), _times(w, "t_embedder", t)
    context = _linear(w, "context_embedder", captions)
    for index in range(_count(w, "joint_blocks")):
        sides = {}
        for side, stream in (("context_block", context), ("x_block", tokens)):
            name = f"joint_blocks.{index}.{side}"
            parts = _linear(w, f"{name}.adaLN_modulation.1", functional.silu(c)).split(c.shape[1], dim=1)
            sides[side] = name, stream, parts, _linear(w, f"{name}.attn.qkv", _modulated(stream, *parts[:2]))
        seen = _attended(torch.cat([sides["context_block"][3], sides["x_block"][3]], dim=1), heads)
        shown = seen.split([context.shape[1], tokens.shape[1]], dim=1)
        after = [
            stream if len(parts) == 2 else _after(w, name, stream, parts[2:], attended)
            for (name, stream, parts, _), attended in zip(sides.values(), shown, strict=True)
        ]
        context, tokens = after
    return _read_out(w, "final_layer", tokens, c, x)


def _patches(w, x):
    kernel = w["x_embedder.proj.weight"]
    seen = functional.conv2d(x, kernel, w["x_embedder.proj.bias"], stride=kernel.shape[-1])
    return seen.flatten(2).transpose(1, 2) + w["pos_embed"]


def _times(w, name, t):
    omega = torch.exp(-torch.log(torch.tensor(10_000.0)) * torch.arange(128) / 128)
    angle = t[:, None] * omega
    embedded = torch.cat([angle.cos(), angle.sin()], dim=1)
    return _linear(w, f"{name}.mlp.2", functional.silu(_linear(w, f"{name}.mlp.0", embedded)))


def _block(w, name, tokens, c, heads):
    parts = _linear(w, f"{name}.adaLN_modulation.1", functional.silu(c)).chunk(6, dim=1)
    qkv = _linear(w, f"{name}.attn.qkv", _modulated(tokens, *parts[:2]))
    return _after(w, name, tokens, parts[2:], _attended(qkv, heads))


def _after(w, name, tokens, parts, attended):
    gate, shift, scale, mlp_gate = parts
    tokens = tokens + gate[:, None] * _linear(w, f"{name}.attn.proj", attended)
    hidden = functional.gelu(
        _linear(w, f"{name}.mlp.fc1", _modulated(tokens, shift, scale)), approximate="tanh"
    )
    return tokens + mlp_gate[:, None] * _linear(w, f"{name}.mlp.fc2", hidden)


def _attended(qkv, heads):
    samples, length, width = qkv.shape
    q, k, v = qkv.reshape(samples, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
    logits = q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5
    return (logits.softmax(-1) @ v).transpose(1, 2).reshape(samples, length, width // 3)


def _vera(w, name, tokens, first, gap, heads, clamp):
    features = tokens
    layers = _count(w, f"{name}.acc_mlp")
    for layer in range(layers):
        features = _linear(w, f"{name}.acc_mlp.{2 * layer}", features)
        features = functional.silu(features) if layer < layers - 1 else features
    shift, scale = _linear(w, f"{name}.acc_norm.adaLN_modulation.1", functional.silu(gap)).chunk(2, dim=1)
    scale = scale if clamp is None else scale.clamp(-clamp, clamp)
    joined = _modulated(torch.cat([tokens, features], dim=-1), shift, scale)
    hidden = functional.gelu(_linear(w, f"{name}.acc_norm.mlp.fc1", joined), approximate="tanh")
    refined = _linear(w, f"{name}.acc_norm.mlp.fc2", hidden)
    norm, attention = f"{name}.cross_attention.layer_norm", f"{name}.cross_attention.multihead_attn"
    queries, keys = (
        functional.layer_norm(one, one.shape[-1:], w[f"{norm}.weight"], w[f"{norm}.bias"])
        for one in (first, refined)
    )
    matrix, bias = w[f"{attention}.in_proj_weight"], w[f"{attention}.in_proj_bias"]
    parts = zip((queries, keys, keys), matrix.chunk(3), bias.chunk(3), strict=True)
    qkv = torch.cat([functional.linear(one, weight, part) for one, weight, part in parts], dim=-1)
    return queries + _linear(w, f"{attention}.out_proj", _attended(qkv, heads))


def _read_out(w, name, tokens, c, x):
    shift, scale = _linear(w, f"{name}.adaLN_modulation.1", functional.silu(c)).chunk(2, dim=1)
    patches = _linear(w, f"{name}.linear", _modulated(tokens, shift, scale))
    patch = w["x_embedder.proj.weight"].shape[-1]
    rows, columns = x.shape[2] // patch, x.shape[3] // patch
    grid = patches.reshape(len(x), rows, columns, patch, patch, -1)
    return torch.einsum("nhwpqc->nchpwq", grid).reshape(len(x), -1, *x.shape[2:])


def _linear(w, name, x):
    return functional.linear(x, w[f"{name}.weight"], w[f"{name}.bias"])


def _modulated(x, shift, scale):
    normed = functional.layer_norm(x, x.shape[-1:], eps=1e-6)
    return normed * (1 + scale[:, None]) + shift[:, None]


def _count(w, prefix):
    return len({name.removeprefix(f"{prefix}.").split(".")[0] for name in w if name.startswith(f"{prefix}.")})
