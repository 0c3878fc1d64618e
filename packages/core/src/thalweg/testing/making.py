"""A component made as a run makes it."""

from typing import Any

import torch

from thalweg.composition import seeded
from thalweg.errors import ConfigError, PluginError, ThalwegError
from thalweg.plugins.building import BrokenBuildError
from thalweg.testing import process
from thalweg.testing.networks import network
from thalweg.testing.reference import ReferenceBackboneConfig
from thalweg.testing.subject import Subject


def made(subject: Subject) -> Any:
    """A small one; whatever draws initial weights is made under a seed."""
    if subject.kind == "backbone":
        return network(subject.config(), None, 1, subject.facts).backbone
    if subject.kind == "refiner":
        return network(ReferenceBackboneConfig(), subject.config(), 2, subject.facts).refiner
    if subject.kind == "objective":
        with seeded(0, torch.device("cpu")):
            return subject.build()
    return subject.build()


def check_it_builds(subject: Subject) -> None:
    """Make sure that there is something to check, before every rule fails for the same reason.

    A ``build`` that is at fault itself is left to the rules, which say so.

    Raises:
        ConfigError: it refuses what it was given.
        PluginError: what it needs is not installed.
    """
    before = process.state()
    try:
        one = made(subject)
        if subject.kind == "logger":
            one.close()
    except BrokenBuildError:
        return
    except PluginError:
        raise
    except ThalwegError as error:
        raise ConfigError(f"{subject} cannot be built with what it was given: {error}") from error
    except Exception:
        return  # What it breaks in a network or at the end, its rules find too.
    finally:
        process.restore(before)
