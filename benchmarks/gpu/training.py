"""Three networks trained for equal seconds and scored on samples from the same noise. One seed: no difference
between them is known to be one."""

import copy
import time
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

import attrs
from benchmarks.gpu.bench import Bench
from benchmarks.gpu.pictures import fashion

import thalweg
import thalweg_eval
from thalweg.calibrating import calibrate
from thalweg.config import RunConfig, structure
from thalweg.errors import ThalwegError
from thalweg.network import FlowNetwork
from thalweg.training.loop import TrainingLoop
from thalweg.training.trainer import Trainer

STEPS_AT_ONCE = 10
SCORES = {"fd": "Frechet distance in the features of a small classifier, lower is better", "recall": "recall"}
_SUFFIX = "_small_classifier"


@attrs.frozen
class Contestant:
    """A network that is trained.

    Attributes:
        parts: its run, beside what all of them have.
        ways: guidances that it is sampled with, by name.
    """

    parts: Mapping[str, Any]
    ways: Mapping[str, Any]


def run(bench: Bench) -> None:
    """Train all, then score all."""
    data, name = fashion(bench.data, bench.scratch)
    bench.note(f"trained on {name}; one seed")
    dataset = thalweg.build("dataset", data)
    with ExitStack() as stack:
        runs, loops = {}, {}
        for title, one in contestants(bench).items():
            config = config_of(bench, data, one)
            place = bench.scratch / f"run-{len(runs)}"
            place.mkdir()
            runs[title] = Trainer(
                config, place, dataset=dataset, accelerator=bench.device, devices=1, quiet=True
            )
            loops[title] = stack.enter_context(runs[title].rehearsed())
            loops[title].time_steps(0, bench.sizes.warm)  # which compiles
        seconds = min(bench.sizes.seconds, (bench.left - bench.sizes.reserve) / len(loops))
        if seconds <= 0:
            raise ThalwegError(f"{bench.left:.0f} s are left, too few to train in and to score")
        bench.figure("training of each network", seconds, "s")
        for title, loop in loops.items():
            steps = train(loop, bench.sizes.warm, seconds)
            bench.figure(f"{title}: steps of {bench.sizes.trained_batch} samples", steps, "steps")
        for title, one in contestants(bench).items():
            network = averaged(loops[title], runs[title].components.network)
            if network.facts.head_depths:
                network.calibration = calibrate(network, dataset, samples=min(512, len(dataset.train)))
            for way, guidance in one.ways.items():
                figures = scored(bench, network, data, guidance)
                for key, what in SCORES.items():
                    bench.figure(f"{title}{way}: {what}", figures[key])


def contestants(bench: Bench) -> dict[str, Contestant]:
    """SiT, its twin with branches, and SiT with a head on detached tokens that guides it."""
    internal = {"type": "internal", "scale": "calibrated"}
    return {
        "SiT-B/2": Contestant({}, {"": None}),
        "DeepFlow-B/2-2T": Contestant(
            {
                "branches": 2,
                "refiner": bench.sizes.refiner,
                "objectives": {"velocity": {}, "acceleration": {}},
            },
            {"": None},
        ),
        "SiT-B/2 with a detached head": Contestant(
            {"heads": [bench.sizes.head]}, {", unguided": None, ", internal guidance": internal}
        ),
    }


def config_of(bench: Bench, data: Mapping[str, Any], one: Contestant) -> RunConfig:
    """The run of a network."""
    sizes = bench.sizes
    config: RunConfig = structure(
        RunConfig,
        {
            "data": data,
            "backbone": sizes.trained,
            "objectives": {"velocity": {}},
            **one.parts,
            "training": {
                "steps": 1_000_000,  # the clock ends it
                "batch_size": sizes.trained_batch,
                "precision": "bf16-mixed",
                "compile": "on" if sizes.compile else "off",
                "optimizer": {"lr": 2e-4},
                "average": {"decay": 0.999},
                "validate_every": 0,
                "sample_every": 0,
                "checkpoint_every": 0,
                "prefetch": 2 * sizes.workers,
                "workers": sizes.workers,
            },
        },
    )
    return config


def train(loop: TrainingLoop, first: int, seconds: float) -> int:
    """Go on for so many seconds; steps done in all."""
    done, end = first, time.monotonic() + seconds
    while time.monotonic() < end:
        loop.time_steps(done, STEPS_AT_ONCE)
        done += STEPS_AT_ONCE
    return done


def averaged(loop: TrainingLoop, network: FlowNetwork) -> FlowNetwork:
    """A copy of the network with its EMA weights, which nothing is compiled of."""
    averages = loop._averages
    with averages.applied():
        return copy.deepcopy(network).eval()


def scored(bench: Bench, network: FlowNetwork, data: Mapping[str, Any], guidance: Any) -> dict[str, float]:
    """The numbers of the protocol ``signals``, on samples that begin at the same noise for every network."""
    passport = thalweg_eval.evaluate(
        network,
        protocol="signals",
        settings=[f"count={bench.sizes.samples}", *bench.sizes.scoring],
        sampling={"guidance": guidance},
        device=bench.device,
        batch_size=min(bench.sizes.samples, 250),
        work=bench.scratch / "work",
        data=data,
    )
    return {name.removesuffix(_SUFFIX): number["value"] for name, number in passport.numbers.items()}
