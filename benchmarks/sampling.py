"""The paper's SDE protocol, 250 steps, guidance 1.8 within [0, 0.7], DeepFlow-S/2-2T.

Ours: bfloat16 autocast, compiled regions, the unconditional half only where the interval is open. Against
it the same network, eager in float32, that evaluates both halves at every step.
"""

from common import Verdict, awake, deepflow_s  # isort: skip

import copy
import time

from torch import Tensor

from thalweg.config import component
from thalweg.network import FlowNetwork
from thalweg.sampling import Samples, sample
from thalweg.types import ConditionalField, Query

COUNT, STEPS = 4, 250
FASTER, SAME_IMAGES = 3.0, 1e-4
INTERVAL, SCALE = (0.0, 0.7), 1.8


class BothHalvesAlways:
    """The same guidance as public code has it: both halves at every step, one thrown away outside."""

    def __call__(self, field: ConditionalField) -> ConditionalField:
        def guided(query: Query) -> Tensor:
            conditional, unconditional = field(query.join(query.null())).chunk(2)
            if not INTERVAL[0] <= float(query.t[0]) <= INTERVAL[1]:
                return conditional
            return unconditional + SCALE * (conditional - unconditional)

        return guided


def drawn(network: FlowNetwork, guidance: object, precision: str, compile: str) -> Samples:
    labels = [207 + index for index in range(COUNT)]
    return sample(
        network,
        labels=labels,
        indices=range(COUNT),
        sampler={"type": "euler_maruyama", "steps": STEPS},
        guidance=guidance,
        batch_size=COUNT,
        precision=precision,
        compile=compile,
    )


def main() -> None:
    verdict = Verdict()
    network = awake(deepflow_s())
    interval = component("guidance", {"type": "cfg", "scale": SCALE, "interval": list(INTERVAL)})
    eager = drawn(network, BothHalvesAlways(), "32-true", "off")
    print(f"eager float32, both halves always: {eager.seconds:.1f} s, {eager.nfe:.0f} evaluations")
    same = drawn(network, interval, "32-true", "off")
    print(f"eager float32, interval: {same.seconds:.1f} s, {same.nfe:.0f} evaluations")
    difference = float((same.x - eager.x).abs().max() / eager.x.abs().max())
    verdict.at_most("relative difference of the float32 images", difference, SAME_IMAGES)
    fast = copy.deepcopy(network)
    begun = time.perf_counter()
    fast.compile_regions()
    drawn_once = sample(
        fast,
        labels=[1] * COUNT,
        indices=range(COUNT),
        sampler={"type": "euler_maruyama", "steps": 6},
        guidance=interval,
        precision="auto",
        compile="on",
    )
    print(f"compiling: {time.perf_counter() - begun:.1f} s ({drawn_once.precision})")
    ours = drawn(fast, interval, "auto", "on")
    print(f"ours: {ours.seconds:.1f} s, {ours.nfe:.0f} evaluations, {ours.precision}")
    drift = float((ours.x - eager.x).norm() / eager.x.norm())
    verdict.at_most("relative distance of our bfloat16 images from the float32 ones", drift, 1e-2)
    verdict.at_least("times faster", eager.seconds / ours.seconds, FASTER)
    verdict.exit()


if __name__ == "__main__":
    main()
