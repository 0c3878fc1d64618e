"""Where training scripts keep weights: averages first, under their names in the network, and said which."""

import argparse
import re
from pathlib import PurePosixPath

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thalweg.errors import DataError
from thalweg_backbones.foreign.checkpoints import read_foreign
from thalweg_backbones.foreign.locating import bare_names

NETWORK = {
    "pos_embed": torch.linspace(0, 1, 8).view(1, 2, 4),
    "blocks.0.attn.weight": torch.arange(6.0).view(2, 3),
    "blocks.0.attn.bias": torch.ones(2),
    "head.weight": torch.full((2, 2), 3.0),
}
OTHER = {name: torch.zeros_like(tensor) for name, tensor in NETWORK.items()}
TRAINED = [name for name in NETWORK if name != "pos_embed"]


def under(prefix, tensors):
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def within(part):
    return {name.replace("blocks.0.", f"blocks.0.{part}."): one for name, one in NETWORK.items()}


def read(tmp_path, content):
    torch.save(content, tmp_path / "theirs.pt")
    return read_foreign(tmp_path / "theirs.pt")


def is_network(found):
    names = bare_names(found)
    return names.keys() == NETWORK.keys() and all(torch.equal(names[key], NETWORK[key]) for key in names)


LITTLE = {name.replace(".", ""): NETWORK[name] for name in TRAINED}
SHADOWS = [NETWORK[name] for name in TRAINED]
COUNTERS = {"initted": torch.tensor(True), "step": torch.tensor(7)}


@pytest.mark.parametrize(
    ("content", "place"),
    [
        (NETWORK, ""),
        *[
            ({key: NETWORK, "model": OTHER, "opt": {"state": {}}}, key)
            for key in ("ema", "model_ema", "ema_model", "ema_state_dict", "state_dict_ema", "params_ema")
        ],
        *[
            ({key: NETWORK, "epoch": 3}, key)
            for key in ("model", "state_dict", "module", "params", "model_state_dict")
        ],
        ({"params": OTHER, "params_ema": NETWORK}, "params_ema"),
        ({"ema": None, "model": NETWORK}, "model"),
        ({"ema": {}, "model": NETWORK}, "model"),
        ({"ema": {"state_dict": NETWORK, "decay": 0.9999}, "model": OTHER}, "ema.state_dict"),
        ({"state_dict": {"ema": NETWORK, "model": OTHER}}, "state_dict.ema"),
        (
            {"model": OTHER, "ema": {"decay": 0.9, "shadow_params": list(NETWORK.values())}},
            "ema.shadow_params",
        ),
        (
            {"model": {**OTHER, "pos_embed": NETWORK["pos_embed"]}, "ema": {"shadow_params": SHADOWS}},
            "ema.shadow_params",
        ),
        ({"model": OTHER, "shadow_params": list(NETWORK.values())}, "shadow_params"),
        (
            {"module": under("_orig_mod.", OTHER), "ema": {"shadow_params": list(NETWORK.values())}},
            "ema.shadow_params",
        ),
        ({**under("online_model.", OTHER), **under("ema_model.", NETWORK), **COUNTERS}, "ema_model"),
        (
            {"ema": {**under("online_model.", OTHER), **under("ema_model.module.", NETWORK), **COUNTERS}},
            "ema.ema_model",
        ),
        ({"state_dict": {**under("model.", OTHER), **under("ema_model.", NETWORK)}}, "state_dict.ema_model"),
        ({"state_dict": {**under("net.", OTHER), **under("net_ema.", NETWORK)}}, "state_dict.net_ema"),
        ({**OTHER, **under("ema.", NETWORK)}, "ema"),
        ({"state_dict": {**under("ema._orig_mod.", NETWORK), **OTHER}}, "state_dict.ema"),
        ({"state_dict": under("model.", NETWORK), "current_model_state": OTHER}, "state_dict"),
        ({"state_dict": under("model.", NETWORK)}, "state_dict"),
        ({"state_dict": under("model._orig_mod.", NETWORK)}, "state_dict"),
        ({"ema": {**under("module.", NETWORK), "n_averaged": torch.tensor(3)}}, "ema"),
        (
            {
                "state_dict": {
                    **under("model.", {**OTHER, "pos_embed": NETWORK["pos_embed"]}),
                    **under("model_ema.", LITTLE),
                    "model_ema.decay": torch.tensor(0.9999),
                    "model_ema.num_updates": torch.tensor(3),
                }
            },
            "state_dict.model_ema",
        ),
    ],
)
@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
def test_the_averaged_weights_are_found_and_named(tmp_path, content, place, zipped):
    torch.save(content, tmp_path / "theirs.pt", _use_new_zipfile_serialization=zipped)
    found = read_foreign(tmp_path / "theirs.pt")
    assert is_network(found)
    assert found.place == place


@pytest.mark.parametrize(
    ("content", "left"),
    [
        ({"ema": NETWORK, "model": OTHER}, ("model",)),
        ({"state_dict": {"ema": NETWORK, "model": OTHER}}, ("state_dict.model",)),
        ({**under("online_model.", OTHER), **under("ema_model.", NETWORK)}, ("online_model.*",)),
        ({**OTHER, **under("ema.", NETWORK)}, ("unprefixed",)),
        ({"state_dict": NETWORK, "current_model_state": OTHER}, ("current_model_state",)),
        ({"ema": NETWORK, "model": OTHER, "teacher": OTHER}, ("model", "teacher")),
        ({"model": NETWORK}, ()),
        ({"model": OTHER, "ema": {"shadow_params": list(NETWORK.values())}}, ("model",)),
    ],
    ids=["beside", "within", "by prefix", "no prefix", "trained", "teacher", "alone", "listed"],
)
def test_other_weights_are_named_as_left(tmp_path, content, left):
    assert read(tmp_path, content).left == left


@pytest.mark.parametrize("wrapper", ["_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"])
def test_what_wrappers_leave_within_names_is_taken_off(wrapper):
    for names in (
        within(wrapper),
        under(f"{wrapper}.", NETWORK),
        under(f"module.{wrapper}.", within(wrapper)),
    ):
        assert is_network(names)
    assert is_network(within("_orig_mod._checkpoint_wrapped_module"))


@pytest.mark.parametrize(
    "prefix", ["module.", "model.", "net.", "ema.", "ema_model.", "model.module.", "module._orig_mod.model."]
)
def test_what_held_the_network_is_taken_off_in_front(prefix):
    assert is_network(under(prefix, NETWORK))
    assert set(bare_names({"blocks.0.model.weight": NETWORK["head.weight"]})) == {"blocks.0.model.weight"}


def test_two_tensors_of_one_name_are_refused():
    both = {**under("model.", NETWORK), **under("ema_model.", OTHER)}
    with pytest.raises(DataError, match=r"'model.pos_embed' and 'ema_model.pos_embed' .* both 'pos_embed'"):
        bare_names(both)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": NETWORK, "ema": {"decay": 0.9, "shadow": [1]}}, "'ema' in a form .*decay, shadow"),
        ({"ema": {"shadow_params": SHADOWS}}, "'ema.shadow_params' without names"),
        ({"model": OTHER, "ema": {"shadow_params": SHADOWS[::-1]}}, "tensors of these shapes in this order"),
        ({"model": OTHER, "ema": {"shadow_params": SHADOWS[:-1]}}, "tensors of these shapes in this order"),
        ({"model": OTHER, "ema": {"shadow_params": [1, 2]}}, "tensors of these shapes in this order"),
        ({"weights_ema": NETWORK, "epoch": 3}, "holds no tensors but weights_ema, epoch"),
        (
            {"state_dict": {**under("model.", OTHER), **under("model_ema.", {"headweigh": torch.ones(1)})}},
            "'model_ema' in a form that is not understood .headweigh",
        ),
    ],
    ids=["other form", "no names", "other order", "too few", "no tensors", "other place", "lost names"],
)
def test_averages_that_cannot_be_read_are_never_skipped(tmp_path, content, words):
    with pytest.raises(DataError, match=words):
        read(tmp_path, content)


@pytest.mark.parametrize(
    ("beside", "place"),
    [
        ({"ema_0.9999": OTHER}, "ema_0.9999"),
        ({"model_ema1": OTHER, "model_ema2": OTHER}, "model_ema1, model_ema2"),
        ({"emas": {0.9999: OTHER}}, "emas.0.9999"),
        ({"ema": [OTHER]}, "ema.0"),
        ({"ema": list(OTHER.values())}, "ema"),
        ({"shadow": [OTHER[name] for name in TRAINED]}, "shadow"),
        ({"callbacks": {"EMA": {"weights": under("model.", OTHER)}}}, "callbacks.EMA.weights"),
        ({"G_ema": {name.replace(".", ""): one for name, one in OTHER.items()}}, "G_ema"),
    ],
)
def test_weights_under_names_that_nobody_agreed_on_are_never_skipped(tmp_path, beside, place):
    with pytest.raises(DataError, match=rf"several places \(model, {re.escape(place)}\)"):
        read(tmp_path, {"model": NETWORK, **beside})
    assert is_network(read(tmp_path, {"ema_model": NETWORK, **beside}))


@pytest.mark.parametrize(
    "beside",
    [
        {"opt": {"state": {0: {"exp_avg": OTHER["head.weight"]}}, "params": list(OTHER.values())}},
        {"vae": {"decoder.weight": torch.ones(2, 3), "decoder.bias": torch.ones(2)}},
        {"state_dict": NETWORK},
        {"rng": [torch.zeros(5), torch.zeros(5)]},
    ],
    ids=["optimiser", "another network", "the same tensors", "generators"],
)
def test_what_is_no_second_network_is_none(tmp_path, beside):
    assert is_network(read(tmp_path, {"model": NETWORK, **beside}))


def test_a_table_that_holds_itself_ends(tmp_path):
    content = {"epoch": 3}
    content["model"] = content
    with pytest.raises(DataError, match=r"holds no tensors"):
        read(tmp_path, content)


@pytest.mark.parametrize("key", ["args", "config", "hyper_parameters"])
@pytest.mark.parametrize("kind", [dict, argparse.Namespace])
def test_plain_arguments_are_read(tmp_path, key, kind):
    options = {"path_type": "Linear", "num_heads": 12, "df_idxs": [2, 4], "qk_norm": False, "ckpt": None}
    odd = {"nested": {"a": 1}, "tensor": torch.ones(2), "deep": [[1]]}
    found = read(tmp_path, {"ema": NETWORK, key: kind(**options, **odd)})
    assert found.arguments == {**options, "nested.a": 1}


def test_arguments_with_objects_are_refused_by_the_objects_name(tmp_path):
    with pytest.raises(DataError, match=r"pickled objects \(pathlib.PurePosixPath\).*never executed"):
        read(tmp_path, {"ema": NETWORK, "args": argparse.Namespace(out=PurePosixPath("results"))})


WRAPPERS = st.sampled_from(["_orig_mod", "_checkpoint_wrapped_module", "_fsdp_wrapped_module"])
HOLDERS = st.sampled_from(["module", "model", "net", "ema_model", "_orig_mod"])


@given(data=st.data(), front=st.lists(HOLDERS, max_size=3))
def test_wrappers_leave_no_trace_wherever_they_stand(data, front):
    named = {}
    for name, tensor in NETWORK.items():
        *parts, last = name.split(".")
        for part in data.draw(st.lists(WRAPPERS, max_size=3)):
            parts.insert(data.draw(st.integers(0, len(parts))), part)
        named[".".join([*front, *parts, last])] = tensor
    assert is_network(named)


def test_the_first_table_of_arguments_that_is_not_empty_is_read(tmp_path):
    assert read(tmp_path, {"ema": NETWORK, "args": {}, "config": {"lr": 1.0}}).arguments == {"lr": 1.0}
