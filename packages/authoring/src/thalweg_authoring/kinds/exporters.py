"""What an exporter keeps, on a network that it takes and on others."""

import json
from pathlib import PurePosixPath

import torch
from torch import Tensor

from thalweg.errors import ConfigError
from thalweg.exported import Exported
from thalweg.network import FlowNetwork
from thalweg.tensor_files import FILED
from thalweg_authoring.networks import network as composed
from thalweg_authoring.numbers import randomised
from thalweg_authoring.reference import ReferenceBackboneConfig, ReferenceRefinerConfig
from thalweg_authoring.rules import does_not_apply, require, rule
from thalweg_authoring.subject import Subject


def taken(subject: Subject) -> FlowNetwork:
    """A network that it takes, with no layer at zero."""
    if subject.network is None:
        does_not_apply("no network is at hand; override ConformanceSuite.network in its tests")
    made: FlowNetwork = randomised(subject.network(), 0.1)
    return made


@rule("exporter")
def it_gives_tensors_and_texts_that_can_be_written(subject: Subject) -> None:
    """Tensors are finite, of types that files hold, arguments plain, and places within the folder."""
    exporter, network = subject.build(), taken(subject)
    found = exporter(network)
    require(isinstance(found, Exported), "it returns no thalweg.exported.Exported")
    require(found.tensors, "it gives no tensors")
    for name, tensor in found.tensors.items():
        require(isinstance(name, str) and isinstance(tensor, Tensor), f"{name!r} is no tensor by its name")
        require(tensor.dtype in FILED, f"'{name}' is of {tensor.dtype}, which no file holds; convert it")
        require(bool(tensor.isfinite().all()), f"'{name}' holds numbers that are not finite")
    try:
        json.dumps(dict(found.arguments), allow_nan=False)
    except (TypeError, ValueError) as error:
        require(False, f"its arguments are no plain values ({error}); give numbers, texts and lists")
    require(
        bool(found.place) == (not exporter.suffixes),
        "it makes a file and names a place in a folder, or the other way round; give place just where "
        "suffixes is ()",
    )
    require(
        found.place or not found.files,
        "it makes one file and has texts for others; make a folder: suffixes = ()",
    )
    for place in (found.place, *found.files) if found.place else ():
        path = PurePosixPath(place)
        inside = not path.is_absolute() and ".." not in path.parts and str(path) == place
        require(inside, f"'{place}' is no place within the folder; write it as 'model/config.json'")
    require(all(isinstance(one, str) for one in found.files.values()), "its files must be texts")
    require(
        all(one.startswith(".") and "/" not in one for one in exporter.suffixes),
        "its suffixes are no endings such as '.safetensors'",
    )


@rule("exporter")
def the_network_is_left_as_it_was(subject: Subject) -> None:
    """No tensor of the network changes, nor whether it trains."""
    network, exporter = taken(subject).train(), subject.build()
    kept = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    exporter(network)
    now = network.state_dict()
    require(kept.keys() == now.keys(), "it changes the network's layers; work on copies of tensors")
    require(
        all(torch.equal(now[name], kept[name]) for name in kept),
        "it writes into the network's tensors; make new ones",
    )
    require(network.training, "it puts the network into evaluation mode; leave it as it is")


@rule("exporter")
def it_gives_the_same_twice(subject: Subject) -> None:
    """One network is exported to the same tensors and texts every time."""
    network, exporter = taken(subject), subject.build()
    one, other = exporter(network), exporter(network)
    require(one.tensors.keys() == other.tensors.keys(), "its tensors are called otherwise the second time")
    same = all(torch.equal(one.tensors[name], other.tensors[name]) for name in one.tensors)
    require(
        same and one.files == other.files,
        "it gives something else the second time; keep nothing between calls",
    )


@rule("exporter")
def every_weight_counts(subject: Subject) -> None:
    """A weight that is another gives another export, or what it belongs to is named as left out."""
    network, exporter = taken(subject), subject.build()
    expected = exporter(network)
    if expected.left:
        does_not_apply("it names what it leaves out")
    for name, weight in network.named_parameters():
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.add_(1.0)
        found = exporter(network)
        with torch.no_grad():
            weight.copy_(kept)
        same = found.tensors.keys() == expected.tensors.keys() and all(
            torch.equal(found.tensors[key], expected.tensors[key]) for key in found.tensors
        )
        require(not same, f"'{name}' is left out in silence; export it, or name it in Exported.left")


@rule("exporter")
def what_has_no_counterpart_is_refused_by_a_sentence(subject: Subject) -> None:
    """A network of parts that nobody knows, in branches, is exported whole or refused by a ConfigError."""
    facts = subject.facts
    for refiner, branches in ((None, 1), (ReferenceRefinerConfig(), 2)):
        network = composed(ReferenceBackboneConfig(), refiner, branches, facts)
        try:
            subject.build()(network)
        except ConfigError:
            continue
        except Exception as error:
            require(
                False,
                f"a network that it does not know ends in {type(error).__name__}; raise a ConfigError that "
                "names what has no counterpart",
            )
