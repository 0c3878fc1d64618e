"""What DeepFlow's tensors do not tell: where branches end, and whether the time gap's scale is bounded."""

import re

import pytest
import torch

import released
from golden_files import golden, relative_error
from thalweg.errors import ConfigError, DataError
from thalweg_backbones import import_weights

DEEPFLOW = {"num_heads": 4, "num_classes": 1000, "path_type": "linear", "prediction": "v"}


@torch.no_grad()
def answers(network, file, weights, **more):
    x, times = file.tensors["forward.x"], file.stacked("forward.t")
    ours = torch.stack(network.eval()(x, times, file.condition("forward.y")).velocities)
    labels, heads = file.tensors["forward.y"], file.config["num_heads"]
    return ours, released.deepflow(weights, x, times, labels, heads, **more)


@pytest.mark.parametrize("clamp", [True, False])
@pytest.mark.parametrize("by", ["args", "option"])
@pytest.mark.parametrize("name", ["deepflow_2t", "deepflow_3t_align"])
def test_the_bound_of_the_scale_stands_apart_from_the_projectors(name, clamp, by):
    file = golden(name)
    # Large enough that the bound is met, which it is not in the reference files.
    weights = {
        key: 40 * tensor if "acc_norm.adaLN" in key else tensor for key, tensor in file.weights.items()
    }
    args = {**DEEPFLOW, "num_heads": file.config["num_heads"], "df_idxs": file.config["df_idxs"]}
    args |= {"legacy_scaling": clamp} if by == "args" else {}
    network = import_weights("deepflow", weights, args=args, clamp=clamp if by == "option" else None)
    ours, theirs = answers(network, file, weights, clamp=5.0 if clamp else None)
    _, others = answers(network, file, weights, clamp=None if clamp else 5.0)
    assert relative_error(ours, theirs) < 1e-5
    assert relative_error(others, theirs) > 1e-2


@pytest.mark.parametrize("name", ["deepflow_2t", "deepflow_3t_align"])
@pytest.mark.parametrize("left_out", ["clamp", "branches_at", "path", "heads"])
def test_what_deepflows_tensors_do_not_tell_is_asked_for(name, left_out):
    file = golden(name)
    with pytest.raises(ConfigError, match=rf"give --{left_out.replace('_', '-')}"):
        import_weights("deepflow", file.weights, **{**file.options, left_out: None})


@pytest.mark.parametrize(
    ("ends", "words"),
    [
        ([1], "the branches end after 1 of 4 blocks by 'df_idxs'.*equal length .*end after 2$"),
        ([3], "end after 3 of 4"),
        ([1, 3], "end after 1,3 of 4 blocks .* the tensors are of 2"),
        ([], "end after none of 4"),
        ("2", "'df_idxs' of the file's args is '2'"),
        ([2.0], "is .2.0., which is not understood"),
    ],
)
def test_unequal_branches_are_refused_by_name(ends, words):
    file = golden("deepflow_2t")
    with pytest.raises(DataError, match=words):
        import_weights("deepflow", file.weights, args={**DEEPFLOW, "df_idxs": ends, "legacy_scaling": False})
    if isinstance(ends, list) and ends and all(isinstance(one, int) for one in ends):
        with pytest.raises(
            DataError, match=re.escape(f"{','.join(map(str, ends))} of 4 blocks by --branches-at")
        ):
            import_weights("deepflow", file.weights, **{**file.options, "branches_at": ends})


def test_five_blocks_are_in_no_two_equal_branches():
    file = golden("deepflow_2t")
    more = {
        name.replace("blocks.3", "blocks.4"): one
        for name, one in file.weights.items()
        if name.startswith("blocks.3")
    }
    with pytest.raises(DataError, match=r"end after 2 of 5 blocks .* only branches of equal length"):
        import_weights("deepflow", {**file.weights, **more}, **file.options)


@pytest.mark.parametrize("prediction", ["noise", "score"])
def test_deepflow_and_captions_predict_velocities_alone(prediction):
    for source, name in (("deepflow", "deepflow_2t"), ("repa-t2i", "repa_mmdit"), ("repa", "repa_sit")):
        file = golden(name)
        with pytest.raises(ConfigError, match=rf"{prediction} by --prediction and velocity by the tensors"):
            import_weights(source, file.weights, **{**file.options, "prediction": prediction})
