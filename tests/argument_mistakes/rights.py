"""What is no mistake, though it is near one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import thalweg
from argument_mistakes import making
from argument_mistakes.making import DIT, FACTS, dit_class, heun_config, labelled


def rights(folder: Path) -> dict[str, Callable[[], bool]]:
    """What the checks must let through, and whether it comes out as it should."""
    net = making.net()
    x, times, t, two = torch.randn(2, 4, 8, 8), torch.rand(2, 2), torch.rand(2), labelled(1, 2)
    heun = {"type": "heun", "steps": 2}
    plain = net(x, times, two).velocities[-1].detach()

    def drawn(**changed: Any) -> torch.Tensor:
        given = {"labels": [1, 2], "indices": [0, 1], "sampler": heun, "compile": "off"}
        return thalweg.sample(net, **{**given, **changed}).x

    def compiled() -> bool:
        whole = torch.compile(net, backend="aot_eager", fullgraph=True)
        return torch.allclose(whole(x, times, two).velocities[-1], plain, atol=1e-5)

    def heads_compiled() -> bool:
        headed = thalweg.compose(backbone=DIT, heads=[1], facts=FACTS)
        torch.nn.init.normal_(headed.velocity_heads["1"].projection.weight)
        whole = torch.compile(headed, backend="aot_eager", fullgraph=True)
        found, expected = (one(x, times[:1], two).heads[1] for one in (whole, headed))
        return torch.allclose(found, expected, atol=1e-5)

    def exported() -> bool:
        whole = torch.export.export(net, (x, times, two), strict=False).module()
        return torch.allclose(whole(x, times, two).velocities[-1], plain, atol=1e-5)

    def mapped() -> bool:
        many = torch.stack([times, times.flip(1)])
        one_by_one = torch.stack([net(x, each, two).velocities[-1] for each in many])
        together = torch.func.vmap(lambda each: net(x, each, two).velocities[-1])(many)
        return torch.allclose(together, one_by_one, atol=1e-5)

    def labels_mapped() -> bool:
        many = torch.tensor([[1, 2], [3, 4]])
        ask = lambda labels: net(x, times, thalweg.Condition(labels)).velocities[-1]  # noqa: E731
        return torch.allclose(torch.func.vmap(ask)(many), torch.stack([ask(one) for one in many]), atol=1e-5)

    def differentiated() -> bool:
        step, small = torch.randn_like(x), 1e-3
        with sdpa_kernel(SDPBackend.MATH):  # the others know no forward mode
            _, slope = torch.func.jvp(lambda one: net.velocity(one, t, two), (x,), (step,))
        around = [net.velocity(x + sign * small * step, t, two) for sign in (1, -1)]
        return torch.allclose(slope, (around[0] - around[1]) / (2 * small), atol=1e-2, rtol=1e-2)

    def differentiated_in_time() -> bool:
        with sdpa_kernel(SDPBackend.MATH):
            _, slope = torch.func.jvp(lambda one: net.velocity(x, one, two), (t,), (torch.ones_like(t),))
        return slope.shape == x.shape and bool(slope.isfinite().all())

    def on_meta() -> bool:
        meta = thalweg.compose(backbone=DIT, refiner="plain", branches=2, facts=FACTS, device="meta")
        return meta(x.to("meta"), times.to("meta"), two.to("meta")).velocities[-1].is_meta

    def mixed() -> bool:
        with torch.autocast("cpu", torch.bfloat16):
            return net(x, times, two).velocities[-1].shape == x.shape

    def in_double() -> bool:
        double = thalweg.compose(backbone=DIT, facts=FACTS).double()
        return double(x.double(), times[:1].double(), two).velocities[-1].dtype == torch.float64

    recipe = folder / "recipe.toml"
    same = drawn()
    return {
        "the whole network is one graph": compiled,
        "a network with heads is one graph": heads_compiled,
        "the network is exported": exported,
        "times are mapped over": mapped,
        "labels are mapped over": labels_mapped,
        "the velocity is differentiated along x": differentiated,
        "the velocity is differentiated along t": differentiated_in_time,
        "on the meta device": on_meta,
        "under autocast": mixed,
        "in float64": in_double,
        "no samples": lambda: (
            net(x[:0], times[:, :0], two.select(torch.arange(0))).velocities[-1].shape == (0, 4, 8, 8)
        ),
        "times that miss 1 by rounding": lambda: bool(
            net(x, torch.full((2, 2), 1 + 1e-7), two).velocities[-1].isfinite().all()
        ),
        "labels of int32": lambda: torch.equal(
            net(x, times, labelled(1, 2, dtype=torch.int32)).velocities[-1], plain
        ),
        "no condition": lambda: net(x, times).velocities[-1].shape == x.shape,
        "hidden states in any order": lambda: list(net(x, times, two, hidden=(2, 1, 2)).hidden) == [1, 2],
        "labels in a tensor": lambda: torch.equal(drawn(labels=torch.tensor([1, 2])), same),
        "labels in an array": lambda: torch.equal(drawn(labels=np.array([1, 2])), same),
        "indices in a range": lambda: torch.equal(drawn(indices=range(2)), same),
        "a seed of numpy": lambda: torch.equal(drawn(seed=np.int64(0)), same),
        "a sampler that is built": lambda: torch.equal(drawn(sampler=heun_config(2).build(FACTS)), same),
        "a sampler of one's own": lambda: bool(
            drawn(sampler=lambda velocity, noise, *_: noise).isfinite().all()
        ),
        "guidance without guidance": lambda: torch.equal(drawn(guidance="none"), same),
        "overrides from a generator": lambda: (
            thalweg.load_config(recipe, (one for one in ["seed=3"])).seed == 3
        ),
        "overrides in a tuple": lambda: thalweg.load_config(str(recipe), ("seed=3",)).seed == 3,
        "a config of Python": lambda: (
            thalweg.compose(
                backbone=dit_class()(width=16, depth=2, heads=2, patch=4), facts=FACTS
            ).facts.width
            == 16
        ),
    }
