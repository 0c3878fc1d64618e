"""What an importer keeps, on a checkpoint of its own source and on foreign ones."""

from collections.abc import Mapping
from typing import Any

import attrs
import torch
from torch import Tensor

import thalweg
from thalweg.errors import DataError, ThalwegError
from thalweg.import_options import OPTIONS, ImportOptions
from thalweg.tensor_files import differences
from thalweg_authoring.rules import does_not_apply, require, require_raises, rule
from thalweg_authoring.subject import Subject


def checkpoint(subject: Subject) -> tuple[Mapping[str, Tensor], ImportOptions]:
    """Tensors of a checkpoint, and what has to be stated beside them."""
    if subject.checkpoint is None:
        does_not_apply("no checkpoint is at hand; override ConformanceSuite.checkpoint in its tests")
    return subject.checkpoint()


@rule("importer")
def a_foreign_state_dict_is_refused_by_its_first_missing_tensor(subject: Subject) -> None:
    """What is no checkpoint of its source raises DataError that names a tensor."""
    for foreign in ({}, {"layer.weight": torch.zeros(2, 2)}):
        cure = "raise thalweg.DataError that says \"has no tensor '...'\""
        unnamed = "a foreign checkpoint is refused without naming a tensor"
        with require_raises(DataError, f"a foreign checkpoint is taken; {cure}", "has no tensor '", unnamed):
            try:
                subject.build()(foreign, ImportOptions())
            except DataError:
                raise
            except Exception as error:
                require(False, f"a foreign checkpoint raises {type(error).__name__}; {cure}")


@rule("importer")
def a_checkpoint_of_its_own_fits_the_network_that_it_names(subject: Subject) -> None:
    """The renamed tensors are exactly those of the composition, in names and shapes."""
    tensors, options = checkpoint(subject)
    imported = subject.build()(dict(tensors), options)
    network = thalweg.compose(**imported.composition, facts=imported.facts, device="meta")
    expected = {key: tuple(tensor.shape) for key, tensor in network.state_dict().items()}
    found = {key: tuple(tensor.shape) for key, tensor in imported.state_dict.items()}
    missing, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    require(
        not missing,
        f"{', '.join(missing[:3])} of the network is not imported; name its tensor in the checkpoint",
    )
    require(not extra, f"{', '.join(extra[:3])} is imported and no tensor of the network")
    other = [key for key in expected if expected[key] != found[key]]
    require(not other, f"{', '.join(other[:3])} is imported in another shape than the network's")


@rule("importer")
def the_given_tensors_are_left_as_they_were(subject: Subject) -> None:
    """Neither the mapping nor its tensors are changed."""
    tensors, options = checkpoint(subject)
    given = dict(tensors)
    kept = {key: tensor.clone() for key, tensor in given.items()}
    subject.build()(given, options)
    require(given.keys() == kept.keys(), "it takes tensors out of the mapping; copy it first")
    require(
        all(torch.equal(given[key], kept[key]) for key in kept), "it writes into the tensors; make new ones"
    )


@rule("importer")
def a_tensor_too_many_is_named(subject: Subject) -> None:
    """A tensor that it does not know is an error that names it."""
    tensors, stated = checkpoint(subject)
    message = "a tensor that it does not know is ignored; raise thalweg.DataError that names it"
    unnamed = "a tensor too many is refused without its name"
    with require_raises(DataError, message, "extra.weight", unnamed):
        subject.build()({**tensors, "extra.weight": torch.zeros(1)}, stated)


@rule("importer")
def a_wrong_tensor_is_a_clear_error(subject: Subject) -> None:
    """A tensor of any other shape ends in an error, in the importer or where the network is filled."""
    tensors, options = checkpoint(subject)
    for key, tensor in tensors.items():
        for wrong in (tensor.flatten()[:0], torch.zeros(())):
            # What only training needs may be ignored, of whatever shape it is.
            rest = {name: one for name, one in tensors.items() if name != key}
            if _fits(subject, {**tensors, key: wrong}, options) and not _fits(subject, rest, options):
                require(
                    False, f"'{key}' of another shape is taken; rename it only, so that its shape is compared"
                )


@rule("importer")
def every_option_counts(subject: Subject) -> None:
    """Whatever else is stated makes another network, or is refused by a ThalwegError."""
    tensors, options = checkpoint(subject)
    expected = subject.build()(dict(tensors), options)
    others: dict[str, Any] = {
        "heads": 1 if options.heads != 1 else 2,
        "branches_at": (1,) if options.branches_at != (1,) else (2,),
        "path": "vp",
        "prediction": "score",
        "clamp": not options.clamp,
        "classes": 7 if options.classes != 7 else 8,
        "tokens": 7 if options.tokens != 7 else 8,
    }
    for name, value in others.items():
        try:
            found = subject.build()(dict(tensors), attrs.evolve(options, **{name: value}))
        except ThalwegError:
            continue
        except Exception as error:
            require(
                False,
                f"{OPTIONS[name]} ends in {type(error).__name__}; raise a ThalwegError where it says what no "
                "network can be",
            )
        require(
            _differs(found, expected),
            f"{OPTIONS[name]} is ignored; resolve it with "
            "thalweg.import_options.OptionResolver, whose finish() refuses what says nothing",
        )


def _fits(subject: Subject, tensors: Mapping[str, Tensor], options: ImportOptions) -> bool:
    """Whether tensors are read as those of a network."""
    try:
        imported = subject.build()(tensors, options)
        network = thalweg.compose(**imported.composition, facts=imported.facts, device="meta")
    except (ThalwegError, IndexError, ValueError, RuntimeError):  # what tensors of other shapes end in
        return False
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    return not differences(expected, {name: tuple(one.shape) for name, one in imported.state_dict.items()})


def _differs(one: Any, other: Any) -> bool:
    if (one.composition, one.facts) != (other.composition, other.facts):
        return True
    mine, theirs = one.state_dict, other.state_dict
    return mine.keys() != theirs.keys() or any(not torch.equal(mine[key], theirs[key]) for key in mine)
