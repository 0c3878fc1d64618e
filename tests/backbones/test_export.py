"""Networks for other programs: back again to the bit, as diffusers computes them, or refused by name."""

import hashlib
import json
import subprocess
import sys

import attrs
import pytest
import torch
from safetensors.torch import load_file

import diffusers_makers
import thalweg
from diffusers_makers import TOKENS
from exported_networks import BRANCHED, CLOSED, FACTS, captioned, made, taken_by
from golden_files import golden, relative_error
from thalweg.cli.main import main
from thalweg.errors import ConfigError, ThalwegError
from thalweg.facts import Normalisation
from thalweg.import_options import ImportOptions
from thalweg.storage import Location
from thalweg.types import Condition
from thalweg_backbones import export_network, import_weights, read_dcp, read_foreign
from thalweg_backbones.foreign.diffusers_folder import read_folder
from thalweg_backbones.importers.importing import import_checkpoint


def inputs():
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(3, 4, 8, 8, generator=draw)
    condition = Condition(torch.tensor([0, 9, 3]), torch.tensor([False, False, True]))
    return x, torch.tensor([0.0, 0.4, 1.0]), condition


def back(name, path, **options):
    if path.suffix == ".dcp":
        weights = read_dcp(path)
    elif path.is_dir():
        weights, _ = read_folder(Location(path))
    else:
        weights = read_foreign(path)
    return import_checkpoint(
        name, weights, ImportOptions(**options, arguments=weights.arguments)
    ).network.eval()


def check_same(one, other):
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not torch.equal(ours[name], theirs[name])] == []
    composed = [{**network.composition, "branches": list(network.facts.ends)} for network in (one, other)]
    assert composed[0] == composed[1]
    assert (one.facts.shape, one.facts.classes, one.facts.condition_dropout) == (
        other.facts.shape,
        other.facts.classes,
        other.facts.condition_dropout,
    )


NETWORKS = {
    "sit": {},
    "sit-cosine": {"interpolant": "cosine", "facts": attrs.evolve(FACTS, condition_dropout=False)},
    "sit-positions": {"backbone": {"stored_positions": True}},
    "sit-patch": {"backbone": {"patch": 4}},
    "repa": {},
    "repa-cosine": {"interpolant": "cosine"},
    "deepflow": BRANCHED,
    "deepflow-bounded": {**BRANCHED, "refiner": {**BRANCHED["refiner"], "clamp_scale": 5.0}, "branches": 4},
    "diffusers-dit": {"backbone": {**CLOSED, "mlp_norm_eps": 1e-5}},
    "diffusers-noise": {"backbone": {"closed_frequencies": True, "betas": (1e-4, 0.02)}},
}


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("suffix", [".pt", ".safetensors", ".dcp"])
def test_a_network_comes_back_to_the_bit(tmp_path, name, suffix):
    target = "diffusers-dit" if name.startswith("diffusers") else name.partition("-")[0]
    network = made(**NETWORKS[name])
    if name == "sit-positions":
        with torch.no_grad():
            network.backbone.patches.positions.mul_(1.001)
    path = tmp_path / (f"net{suffix}" if target != "diffusers-dit" else f"net{suffix[1:]}")
    exported = export_network(network, path, target)
    assert exported.left == ()
    check_same(back(target, path), network)


@pytest.mark.parametrize("qk_norm", [False, True])
def test_a_captioned_network_comes_back_to_the_bit(tmp_path, qk_norm):
    network = captioned(qk_norm)
    tensors = export_network(network, tmp_path / "net.pt", "repa-t2i").tensors
    check_same(back("repa-t2i", tmp_path / "net.pt"), network)
    assert ("joint_blocks.3.context_block.attn.ln_q.weight" in tensors) == qk_norm


def test_what_rounding_changes_is_said(tmp_path):
    network = made()
    with torch.no_grad():
        network.backbone.time.mlp.layers[0].weight[:, :128] = 0
    [note] = export_network(network, tmp_path / "net.pt", "sit").notes
    found = back("sit", tmp_path / "net.pt").backbone.time.mlp.layers[0].weight
    changed = int((found != network.backbone.time.mlp.layers[0].weight).sum())
    assert note == f"{changed} numbers of 't_embedder.mlp.0.weight' come back changed by rounding"
    assert 0 < changed <= 32 * 128
    assert float(found[:, :128].detach().abs().max()) < 1e-15


@pytest.mark.parametrize("seed", range(5))
def test_the_flip_of_time_comes_back_to_the_bit_at_a_released_width(seed):
    from thalweg_backbones.importers.layout import flip_time, flipped_time

    layer = torch.randn(1152, 256, generator=torch.Generator().manual_seed(seed)) * 0.02
    assert torch.equal(flip_time(flipped_time(layer)), layer)
    layer = layer.half().float()
    assert torch.equal(flip_time(flipped_time(layer)), layer)


@pytest.mark.parametrize(
    ("source", "file"),
    [("sit", "sit"), ("repa", "repa_sit"), ("repa-t2i", "repa_mmdit"), ("deepflow", "deepflow_2t")],
)
def test_what_was_imported_is_exported_to_the_same_tensors(tmp_path, source, file):
    weights = golden(file).weights
    network = import_weights(source, weights, **golden(file).options)
    found = export_network(network, tmp_path / "net.pt", source).tensors
    kept = {name for name in weights if not name.startswith("projectors")}
    assert found.keys() == kept
    for name in kept - {"pos_embed"}:
        ours, theirs = found[name], weights[name]
        if source == "sit" and name.startswith("final_layer.linear"):
            # The variances, which are dropped on the way, come back as zeros.
            ours, theirs = (one.unflatten(0, (4, 8))[:, :4] for one in (ours, theirs))
        # Flipping and rounding in float32 once more moves the last bit.
        assert torch.allclose(ours.float(), theirs, rtol=1e-6, atol=1e-7)
        assert torch.equal(ours, theirs) or name == "t_embedder.mlp.0.weight"


def test_a_sit_computes_minus_our_velocity_at_the_other_end_of_time(tmp_path):
    from released import sit

    network = made()
    x, t, condition = inputs()
    tensors = export_network(network, tmp_path / "net.pt", "sit").tensors
    theirs = sit(tensors, x, 1 - t, torch.tensor([0, 9, 10]), heads=4)[:, :4]
    with torch.no_grad():
        assert relative_error(-theirs, network.velocity(x, t, condition)) < 2e-6


@pytest.mark.parametrize(
    "backbone",
    [{}, CLOSED, {**CLOSED, "mlp_norm_eps": 0.01}, {"time_scale": 2.0}, {"patch": 4}],
    ids=str,
)
def test_diffusers_own_class_gives_our_velocity(tmp_path, backbone):
    from diffusers import DiTTransformer2DModel

    network = made(backbone)
    exported = export_network(network, tmp_path / "net", "diffusers-dit")
    assert ("was fitted to diffusers' frequencies" in " ".join(exported.notes)) == (
        "closed_frequencies" not in backbone
    )
    model = DiTTransformer2DModel.from_pretrained(tmp_path / "net").eval()
    x, t, condition = inputs()
    with torch.no_grad():
        theirs = model(x, 1000 * t, torch.tensor([0, 9, 10])).sample
        assert relative_error(theirs, network.velocity(x, t, condition)) < 1e-5
    # With its own folder, sharded by diffusers, it comes back as it is there.
    model.save_pretrained(tmp_path / "again", max_shard_size="30KB")
    (tmp_path / "again" / "scheduler_config.json").write_bytes(
        (tmp_path / "net" / "scheduler_config.json").read_bytes()
    )
    check_same(back("diffusers-dit", tmp_path / "again"), back("diffusers-dit", tmp_path / "net"))


def test_a_dit_of_diffusers_goes_there_and_back(tmp_path):
    from diffusers import DiTTransformer2DModel

    theirs = diffusers_makers.dit(out_channels=4)
    network = back("diffusers-dit", diffusers_makers.pipeline(tmp_path / "p", theirs))
    export_network(network, tmp_path / "net", "diffusers-dit")
    again = DiTTransformer2DModel.from_pretrained(tmp_path / "net").state_dict()
    assert all(torch.equal(again[name], one) for name, one in theirs.state_dict().items())


def test_plain_tensors_have_a_description(tmp_path):
    network = made(**BRANCHED, heads=[1])
    exported = export_network(network, tmp_path / "net", "safetensors")
    assert exported.left == ()
    tensors = load_file(tmp_path / "net" / "network.safetensors")
    assert all(torch.equal(tensors[name], one) for name, one in network.state_dict().items())
    described = json.loads((tmp_path / "net" / "network.json").read_text())
    assert described["tensors"]["velocity_readout.projection.bias"] == ["float32", 16]
    assert described["facts"]["shape"] == [4, 8, 8]
    digest = hashlib.sha256((tmp_path / "net" / "network.safetensors").read_bytes()).hexdigest()
    assert described["sha256"] == digest


@pytest.mark.parametrize("target", ["sit", "repa", "deepflow", "diffusers-dit"])
def test_heads_beside_branches_are_left_out_with_a_warning(tmp_path, target, caplog):
    more = BRANCHED if target == "deepflow" else {}
    network = made(CLOSED if target == "diffusers-dit" else None, **more, heads=[1])
    path = tmp_path / ("net" if target == "diffusers-dit" else "net.pt")
    exported = export_network(network, path, target)
    assert exported.left == ("the head after 1 blocks",)
    assert f"the head after 1 blocks is left out, for which {target} has no place" in caplog.text
    found = back(target, path)
    assert found.facts.head_depths == ()
    x, t, condition = inputs()
    times = t if target != "deepflow" else t.expand(2, -1)
    with torch.no_grad():
        one, other = (each(x, times, condition).velocities[-1] for each in (found, network))
    assert torch.equal(one, other)


def test_the_normalisation_of_latents_is_left_out_with_a_warning(tmp_path, caplog):
    latents = attrs.evolve(FACTS, normalisation=Normalisation((0.0,) * 4, (2.0,) * 4))
    exported = export_network(made(facts=latents), tmp_path / "net.pt", "sit")
    assert exported.left == ("the normalisation of its latents",)
    assert "the normalisation of its latents is left out" in caplog.text


ODD = [
    ("sit", {"prediction": "clean"}, "sit has no counterpart of prediction = clean"),
    ("repa", {"prediction": "clean"}, "prediction = clean"),
    ("deepflow", {**BRANCHED, "prediction": "clean"}, "prediction = clean"),
    ("diffusers-dit", {"backbone": CLOSED, "prediction": "clean"}, "prediction = clean"),
    ("sit", {"backbone": {"qk_norm": True}}, "sit has no counterpart of backbone.qk_norm = True"),
    ("sit", BRANCHED, "2 branches with a refiner between them"),
    ("sit", {"backbone": CLOSED}, r"backbone.time_scale = 1000.0 and backbone.closed_frequencies = True"),
    ("sit", {"facts": attrs.evolve(FACTS, classes=None)}, "data without classes"),
    ("sit", {"facts": attrs.evolve(FACTS, shape=(4, 8, 16))}, "images of 8x16"),
    (
        "repa",
        {"backbone": {"closed_frequencies": True, "betas": (0.1, 0.2)}},
        r"backbone.betas = \(0.1, 0.2\)",
    ),
    ("deepflow", {}, "deepflow has no counterpart of a single branch"),
    ("deepflow", {**BRANCHED, "branches": [1, 4]}, "branches that end after 1, 4 blocks"),
    ("deepflow", {**BRANCHED, "refiner": "plain"}, "refiner plain"),
    ("deepflow", {**BRANCHED, "intermediate_readouts": "own"}, "intermediate_readouts = 'own'"),
    (
        "deepflow",
        {"refiner": {"type": "vera", "residual": True, "channels": [8]}, "branches": 2},
        "refiner.residual = True",
    ),
    (
        "deepflow",
        {"refiner": {"type": "vera", "clamp_scale": 2.0, "channels": [8]}, "branches": 2},
        "refiner.clamp_scale = 2.0",
    ),
    ("diffusers-dit", BRANCHED, "2 branches with a refiner"),
    ("diffusers-dit", {"backbone": {"stored_positions": True}}, "backbone.stored_positions = True"),
    ("diffusers-dit", {"backbone": {"betas": (0.1, 0.2)}}, "noise predicted with another embedding of times"),
    (
        "diffusers-dit",
        {"backbone": {"time_scale": 1000.0}},
        "backbone.time_scale = 1000.0. are no combinations",
    ),
]


@pytest.mark.parametrize(("target", "network", "words"), ODD)
def test_what_has_no_counterpart_is_named_and_nothing_written(tmp_path, target, network, words):
    path = tmp_path / "new" / ("net" if target == "diffusers-dit" else "net.pt")
    with pytest.raises(ConfigError, match=words):
        export_network(made(**network), path, target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["sit", "deepflow", "diffusers-dit"])
def test_a_flow_map_goes_nowhere_that_has_one_time(tmp_path, target):
    network = made(**BRANCHED)
    network.facts = attrs.evolve(network.facts, flow_map=True)
    with pytest.raises(ConfigError, match=r"the second time of a flow map.*; export it to safetensors"):
        export_network(network, tmp_path / ("net" if target == "diffusers-dit" else "net.pt"), target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["safetensors", "dcp"])
def test_a_flow_map_is_described_where_it_goes(tmp_path, target):
    network = made(**BRANCHED)
    assert export_network(network, tmp_path / "plain", target).notes == ()
    network.facts = attrs.evolve(network.facts, flow_map=True)
    (note,) = export_network(network, tmp_path / "net", target).notes
    assert "x_r = x_t - (t - r) u; intermediate_velocity.*" in note
    described, plain = (json.loads((tmp_path / one / "network.json").read_text()) for one in ("net", "plain"))
    assert described["facts"]["flow_map"] is True
    assert "flow_map" not in plain["facts"]
    if target == "safetensors":
        assert "average" in described["convention"]
        assert "average" not in plain["convention"]


def test_a_saved_flow_map_is_one_when_it_is_loaded(tmp_path):
    network = made(**BRANCHED)
    network.facts = attrs.evolve(network.facts, flow_map=True)
    thalweg.save(tmp_path / "net", network)
    assert thalweg.load(tmp_path / "net").facts.flow_map
    assert thalweg.load(tmp_path / "net", network=made(**BRANCHED)).facts.flow_map


def test_other_backbones_are_named(tmp_path):
    points = thalweg.compose(backbone="mlp", facts=thalweg.Facts(shape=(2,)))
    with pytest.raises(ConfigError, match="sit has no counterpart of backbone mlp; export it to safetensors"):
        export_network(points, tmp_path / "net.pt", "sit")
    others = back("diffusers-sd3", _sd3(tmp_path), tokens=TOKENS)
    with pytest.raises(ConfigError, match="diffusers-dit has no counterpart of backbone mmdit"):
        export_network(others, tmp_path / "net", "diffusers-dit")
    words = r"backbone\.pooled_width = 12 and .*time_scale = 1000\.0 and captions of 6"
    with pytest.raises(ConfigError, match=words):
        export_network(others, tmp_path / "net.pt", "repa-t2i")
    with pytest.raises(ConfigError, match="repa-t2i has no counterpart of backbone dit"):
        export_network(made(), tmp_path / "net.pt", "repa-t2i")


def _sd3(folder):
    diffusers_makers.sd3().save_pretrained(folder / "sd3")
    return folder / "sd3"


def test_the_command_takes_ema_weights_or_those_of_another_average(tmp_path, capsys):
    from tiny_runs import tiny

    run, names = tmp_path / "run", ("0.9", "0.5")
    averages = {"decay": [0.9, 0.5], "warmup": False}
    thalweg.Trainer(tiny(average=averages), run, accelerator="cpu", quiet=True).train()
    capsys.readouterr()
    found = {}
    for name in (None, *names):
        out = tmp_path / f"{name}.pt"
        chosen = [] if name is None else ["--average", name]
        assert main(["export", str(run), str(out), "--to", "deepflow", *chosen, "--json"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert (told["to"], told["left"]) == ("deepflow", [])
        found[name] = back("deepflow", out)
        check = thalweg.load(run) if name is None else thalweg.load(run, average=name)
        check_same(found[name], check)
    one, other = (found[name].state_dict() for name in names)
    assert any(not torch.equal(one[key], other[key]) for key in one)
    assert main(["export", str(run), str(tmp_path / "x.pt"), "--to", "deepflow", "--average", "0.7"]) == 4
    assert "has no average '0.7'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "dest", "target", "code", "words"),
    [
        ("net", "out.pt", "sitt", 2, "unknown exporter 'sitt', did you mean 'sit'"),
        ("net", "out", "sit", 2, "what sit makes ends with .pt, .safetensors or .dcp; "),
        ("net", "out.pt", "diffusers-dit", 2, "diffusers-dit makes a folder, and "),
        ("net", "net", "safetensors", 2, "exists already; choose another place"),
        ("nowhere", "out.pt", "sit", 4, "nowhere holds no network"),
        ("net", "out.pt", "deepflow", 2, "deepflow has no counterpart of a single branch"),
        ("damaged", "out.pt", "sit", 4, "is damaged"),
        ("net", "file/out.pt", "sit", 1, "cannot be written"),
    ],
)
def test_what_is_refused_is_one_sentence_and_leaves_nothing(
    tmp_path, capsys, model, dest, target, code, words
):
    for name in ("net", "damaged"):
        thalweg.save(tmp_path / name, made())
    weights = tmp_path / "damaged" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8] + bytes(8))
    (tmp_path / "file").write_text("")
    before = sorted(tmp_path.rglob("*"))
    assert main(["export", str(tmp_path / model), str(tmp_path / dest), "--to", target]) == code
    printed = capsys.readouterr()
    assert words in printed.err
    assert printed.err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("target", ["sit", "safetensors"])
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_disk_that_is_full_leaves_nothing(tmp_path, monkeypatch, target, suffix):
    from thalweg import files

    left = [20_000]

    def write(descriptor, content):
        import errno
        import os

        if left[0] < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        left[0] -= len(content)
        return os.write(descriptor, content)

    monkeypatch.setattr(files.disk, "write", write)
    path = tmp_path / (f"net{suffix}" if target == "sit" else "net")
    with pytest.raises(ThalwegError, match="cannot be written"):
        export_network(made(), path, target)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["sit", "safetensors", "diffusers-dit"])
def test_diffusers_is_not_needed_to_export(tmp_path, target):
    thalweg.save(tmp_path / "net", taken_by(target))
    out = tmp_path / ("out.pt" if target == "sit" else "out")
    program = (
        "import sys; sys.modules['diffusers'] = None; from thalweg.cli.main import main; "
        f"sys.exit(main(['export', {str(tmp_path / 'net')!r}, {str(out)!r}, '--to', {target!r}]))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, capture_output=True).returncode == 0
