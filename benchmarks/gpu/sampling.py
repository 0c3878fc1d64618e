"""Images of SiT-XL/2 a second: unguided, by classifier-free and by internal guidance."""

from benchmarks.common import awake
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.step import config_of
from benchmarks.training_runs import LATENTS

import thalweg
from thalweg.composition import composition_of

# In this order: classifier-free guidance asks the network for twice as many samples, which is compiled anew.
WAYS = {
    "unguided": "none",
    "internal guidance": {"type": "internal", "scale": 1.4},
    "CFG": {"type": "cfg", "scale": 1.5},
}
SAMPLERS = ("euler", "heun")


def run(bench: Bench) -> None:
    """Sample in every way, once to warm up and once by the clock."""
    config = config_of(bench, "sit-xl-2", 1)
    parts = composition_of(config)
    depth = config.backbone.dimensions.depth
    network = awake(thalweg.compose(**{**parts, "heads": (depth // 2,)}, facts=LATENTS, device=bench.place))
    seconds: dict[str, dict[str, float]] = {sampler: {} for sampler in SAMPLERS}
    for way, guidance in WAYS.items():
        for sampler in SAMPLERS:
            drawn(bench, network, sampler, guidance, 2)
            found = drawn(bench, network, sampler, guidance, bench.sizes.sampler_steps)
            seconds[sampler][way] = found.seconds
            rate = bench.sizes.images / found.seconds
            bench.figure(f"{sampler}, {way}, NFE {found.nfe:g}", rate, "images/s")
        if way != "unguided":
            ratios = {sampler: one[way] / one["unguided"] for sampler, one in seconds.items()}
            for sampler, ratio in ratios.items():
                bench.figure(f"{sampler}, {way}: time over unguided", ratio)
            if way.startswith("internal"):
                bench.check("internal", max(ratios.values()))


def drawn(
    bench: Bench, network: thalweg.FlowNetwork, sampler: str, guidance: object, steps: int
) -> thalweg.sampling.Samples:
    """One batch of images, every one of another class."""
    count = bench.sizes.images
    return thalweg.sample(
        network,
        indices=range(count),
        labels=[index % LATENTS.classes for index in range(count)],
        sampler={"type": sampler, "steps": steps},
        guidance=guidance,
        batch_size=count,
        precision="bf16-mixed",
        compile="on" if bench.sizes.compile else "off",
    )
