"""What a schedule of the learning rate keeps."""

import math

from thalweg_authoring.rules import require, rule
from thalweg_authoring.subject import Subject

_LENGTHS = (1, 10, 4_000)


@rule("schedule")
def factors_are_finite_and_not_negative(subject: Subject) -> None:
    """Every step of runs of any length has a finite factor of at least 0, and some step one above 0."""
    schedule = subject.build()
    for total in _LENGTHS:
        factors = [float(schedule(step, total)) for step in range(total)]
        wrong = next((one for one in factors if not (math.isfinite(one) and one >= 0)), None)
        require(wrong is None, f"a factor of a run of {total} steps is {wrong}; keep them at least 0")
        require(any(factors), f"all factors of a run of {total} steps are 0, so that nothing is learnt")


@rule("schedule")
def the_step_alone_decides(subject: Subject) -> None:
    """Asked in another order, or again, it says the same, so that a resumed run is the uninterrupted one."""
    schedule = subject.build()
    onwards = [float(schedule(step, 50)) for step in range(50)]
    back = [float(schedule(step, 50)) for step in reversed(range(50))]
    require(
        onwards == back[::-1],
        "a step's factor depends on what was asked before; compute it from step and total alone",
    )


@rule("schedule")
def its_dependence_on_the_length_is_declared(subject: Subject) -> None:
    """Unless ``of_length`` is true, a run's length changes no factor."""
    schedule = subject.build()
    if getattr(schedule, "of_length", False):
        return
    same = all(float(schedule(step, 50)) == float(schedule(step, 4_000)) for step in range(50))
    require(
        same, "factors depend on the run's length; say so by of_length = True, which binds training.steps"
    )
