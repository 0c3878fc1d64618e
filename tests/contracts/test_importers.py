"""Every importer of ours, beyond what all must keep: which tensor is named."""

import pytest
import torch

import thalweg
from contracts.catalogue import checkpoint_of, names
from thalweg.config import component
from thalweg.errors import DataError
from thalweg.import_options import ImportOptions
from thalweg_backbones.importers.importing import import_checkpoint

EVERY = pytest.mark.parametrize("name", names("importer"))


def importer(name):
    return component("importer", name).build(None)


@EVERY
@pytest.mark.parametrize("foreign", [{}, {"layer.weight": torch.zeros(2, 2)}], ids=["empty", "other"])
def test_a_foreign_state_dict_is_refused_by_its_first_missing_tensor(name, foreign):
    with pytest.raises(DataError, match=r"has no tensor '(x|pos)_embed(der)?\.proj\.weight'"):
        importer(name)(foreign, ImportOptions())


@EVERY
def test_every_missing_tensor_is_named(name):
    weights, stated = checkpoint_of(name)
    for key in weights:
        if key.startswith("projectors"):
            continue
        rest = {other: tensor for other, tensor in weights.items() if other != key}
        with pytest.raises(DataError, match=f"'{key}'"):
            importer(name)(rest, stated)


@EVERY
def test_a_tensor_of_any_other_shape_is_a_clear_error(name):
    weights, stated = checkpoint_of(name)
    for key, tensor in weights.items():
        for wrong in (tensor[..., :-1], tensor.flatten()[:0], torch.zeros(())):
            if key.startswith("projectors"):
                continue
            if key == "context_embedder.weight" and not stated.arguments and wrong.dim() == 2:
                continue  # its width is the text encoder's, whatever that is
            with pytest.raises(thalweg.ThalwegError):
                import_checkpoint(name, {**weights, key: wrong}, stated)
