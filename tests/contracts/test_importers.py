"""Every importer, on a checkpoint of its own source and on foreign ones."""

import pytest
import torch

import thalweg
from contracts.catalogue import names
from golden_files import golden
from thalweg.config import component
from thalweg.errors import DataError

FILES = {"sit": "sit", "repa": "repa_sit", "repa-t2i": "repa_mmdit", "deepflow": "deepflow_2t"}
EVERY = pytest.mark.parametrize("name", names("importer"))


def importer(name):
    return component("importer", name).build(None)


@EVERY
def test_a_checkpoint_of_its_own_fits_the_network_that_it_names(name):
    file = golden(FILES[name])
    given = dict(file.weights)
    imported = importer(name)(given, file.config["num_heads"])
    assert given.keys() == file.weights.keys()
    network = thalweg.compose(**imported.composition, facts=imported.facts, device="meta")
    expected = {key: tensor.shape for key, tensor in network.state_dict().items()}
    assert {key: tensor.shape for key, tensor in imported.state_dict.items()} == expected


@EVERY
def test_the_given_tensors_are_left_as_they_were(name):
    file = golden(FILES[name])
    kept = {key: tensor.clone() for key, tensor in file.weights.items()}
    given = file.weights
    importer(name)(given, file.config["num_heads"])
    assert all(torch.equal(given[key], kept[key]) for key in kept)


@EVERY
@pytest.mark.parametrize("foreign", [{}, {"layer.weight": torch.zeros(2, 2)}], ids=["empty", "other"])
def test_a_foreign_state_dict_is_refused_by_its_first_missing_tensor(name, foreign):
    with pytest.raises(DataError, match=r"has no tensor 'x_embedder\.proj\.weight'"):
        importer(name)(foreign, None)


@EVERY
def test_every_missing_tensor_is_named(name):
    file = golden(FILES[name])
    for key in file.weights:
        if key.startswith("projectors"):
            continue
        rest = {other: tensor for other, tensor in file.weights.items() if other != key}
        with pytest.raises(DataError, match=f"'{key}'"):
            importer(name)(rest, file.config["num_heads"])


@EVERY
def test_a_tensor_too_many_is_named(name):
    file = golden(FILES[name])
    with pytest.raises(DataError, match=r"1 tensors .*extra\.weight"):
        importer(name)({**file.weights, "extra.weight": torch.zeros(1)}, file.config["num_heads"])


@EVERY
def test_a_tensor_of_any_other_shape_is_a_clear_error(name):
    file = golden(FILES[name])
    for key, tensor in file.weights.items():
        for wrong in (tensor[..., :-1], tensor.flatten()[:0], torch.zeros(())):
            if key.startswith("projectors"):
                continue
            if key == "context_embedder.weight" and wrong.dim() == 2:
                continue  # its width is the text encoder's, whatever that is
            with pytest.raises(thalweg.ThalwegError):
                thalweg.import_weights(name, {**file.weights, key: wrong}, heads=file.config["num_heads"])
