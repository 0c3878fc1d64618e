"""How large everything is: as it is measured on a card, and as it is rehearsed on a CPU (no torch here)."""

import attrs


@attrs.frozen(kw_only=True)
class Sizes:
    """Sizes of all pieces.

    Attributes:
        run: the network of the pieces ``resume`` and ``syncs``, a name of benchmarks/training_runs.py.
        run_batch: its batch.
        steps: optimiser steps of tiny runs, an even number.
        compile: whether networks are compiled where that is measured.
        network: overrides of the recipes whose steps are measured.
        batch: at which the search for the largest batch begins.
        most_batch: at which it ends whatever memory there is.
        warm: steps before any is timed.
        rounds: steps that are timed.
        matmul: side of the matrices by whose product the card's rate is measured.
        images: that are sampled at a time.
        sampler_steps: of Euler's and Heun's method.
        latents: samples of the stored latents.
        latent_batch: of them that a step reads.
        pictures: images of the tar file.
        edge: of these.
        workers: threads that read.
        trained: fields of the backbone of the networks that are compared.
        refiner: of the one with branches.
        trained_batch: their batch.
        head: the number of blocks after which one of them has a head.
        seconds: that each of them trains at most.
        samples: that each of them is scored by.
        scoring: what of the protocol ``signals`` is another.
        reserve: seconds that scoring may take.
    """

    run: str
    run_batch: int
    steps: int
    compile: bool
    network: tuple[str, ...]
    batch: int
    most_batch: int
    warm: int
    rounds: int
    matmul: int
    images: int
    sampler_steps: int
    latents: int
    latent_batch: int
    pictures: int
    edge: int
    workers: int
    trained: dict[str, object]
    refiner: dict[str, object]
    trained_batch: int
    head: int
    seconds: float
    samples: int
    scoring: tuple[str, ...]
    reserve: float


FULL = Sizes(
    run="S",
    run_batch=32,
    steps=8,
    compile=True,
    network=(),
    batch=16,
    most_batch=1024,
    warm=3,
    rounds=10,
    matmul=8192,
    images=64,
    sampler_steps=50,
    latents=8192,
    latent_batch=256,
    pictures=2048,
    edge=256,
    workers=8,
    trained={"type": "dit", "size": "B", "patch": 2},
    refiner={"type": "vera"},
    trained_batch=256,
    head=4,
    seconds=60.0,
    samples=1000,
    scoring=("sampling.precision=bf16-mixed", "reference.count=10000"),
    reserve=75.0,
)
TINY = Sizes(
    run="tiny",
    run_batch=4,
    steps=2,
    compile=False,
    network=('backbone={type="dit", width=32, heads=2, depth=3, patch=8}',),
    batch=1,
    most_batch=2,
    warm=1,
    rounds=2,
    matmul=64,
    images=2,
    sampler_steps=2,
    latents=32,
    latent_batch=4,
    pictures=16,
    edge=32,
    workers=2,
    trained={"type": "dit", "width": 16, "depth": 2, "heads": 2, "patch": 8},
    refiner={"type": "vera", "channels": [16]},
    trained_batch=8,
    head=1,
    seconds=0.2,
    samples=20,
    scoring=("sampling.sampler.steps=2", "reference.count=40", "features.small_classifier.extractor.steps=2"),
    reserve=0.0,
)
