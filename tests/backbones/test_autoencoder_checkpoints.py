"""sd-vae and va-vae: checkpoints of latent-diffusion's code give what its formulas and diffusers give."""

import copy
import re
import sys
from types import ModuleType

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

import thalweg
from first_stages import decoded, first_stage, moments
from golden_files import relative_error
from image_makers import image_folder
from released import ROWS, lightning_layout
from thalweg.cli.main import main
from thalweg.config import component
from thalweg.data.shards import read_index
from thalweg.errors import ConfigError, DataError
from thalweg.storage import Location
from thalweg_backbones.autoencoder.sd_vae import SDVAEConfig
from thalweg_backbones.autoencoder.va_vae import VAVAEConfig

EXACT, CLOSE = 1e-9, 1e-5  # of the largest value, in double and in single precision
STATISTICS = {
    "mean": torch.linspace(-1, 1, 6).view(1, 6, 1, 1),
    "std": torch.linspace(1, 3, 6).view(1, 6, 1, 1),
}


def built(weights, **options):
    return SDVAEConfig(weights=str(weights), **{"precision": "32-true", "scale": 1.0, **options}).build()


def stored(folder, content, name="model.ckpt"):
    torch.save(content, folder / name)
    return folder / name


def images(size=16):
    draw = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (1, 3, size, size), dtype=torch.uint8, generator=draw)


def passes(ours, size=16):
    """What is given to encoder and decoder in double precision, and what they give."""
    pixels = images(size).double() / 127.5 - 1
    x = torch.randn(1, *ours.shape(3, size, size), generator=torch.Generator().manual_seed(5)).double()
    exact = copy.deepcopy(ours).double()
    given = exact.quant_conv(exact.encoder(pixels)), exact.decoder(exact.post_quant_conv(x))
    return pixels, x, given


@torch.no_grad()
def agree(ours, weights, size=16):
    """Whether an autoencoder computes what the formulas give for these tensors."""
    pixels, x, (encoded, images_of_x) = passes(ours, size)
    return (
        relative_error(encoded, moments(weights, pixels)) < EXACT
        and relative_error(images_of_x, decoded(weights, x)) < EXACT
    )


def in_their_names(state, levels):
    """Tensors of diffusers' AutoencoderKL as latent-diffusion's code calls and shapes them."""
    found = {}
    for name, tensor in state.items():
        attention = ".attentions." in name
        name = re.sub(r"up_blocks\.(\d+)", lambda one: f"up.{levels - 1 - int(one[1])}", name)
        name = re.sub(r"down_blocks\.(\d+)", r"down.\1", name)
        name = re.sub(r"mid_block\.resnets\.(\d)", lambda one: f"mid.block_{int(one[1]) + 1}", name)
        name = name.replace("mid_block.attentions.0", "mid.attn_1")
        name = name.replace("resnets", "block").replace("attentions", "attn")
        name = re.sub(r"(down|up)samplers\.0", r"\1sample", name)
        name = name.replace("conv_shortcut", "nin_shortcut").replace("conv_norm_out", "norm_out")
        name = name.replace("group_norm", "norm").replace("to_out.0", "proj_out")
        name = re.sub(r"\.to_([qkv])\.", r".\1.", name)
        found[name] = tensor[:, :, None, None] if attention and tensor.ndim == 2 else tensor
    return found


@pytest.mark.parametrize("attention", [False, True])
@torch.no_grad()
def test_weights_of_diffusers_in_the_other_layout_give_the_same(tmp_path, attention):
    from diffusers import AutoencoderKL

    kind = "AttnDownEncoderBlock2D", "AttnUpDecoderBlock2D"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D", kind[0] if attention else "DownEncoderBlock2D"),
            up_block_types=(kind[1] if attention else "UpDecoderBlock2D", "UpDecoderBlock2D"),
            block_out_channels=(32, 64),
            layers_per_block=2,
            norm_num_groups=32,
        ).eval()
    tensors = in_their_names(theirs.state_dict(), 2)
    assert tensors.keys() == first_stage(residuals=2, attention=(1,) if attention else ()).keys()
    theirs.save_pretrained(tmp_path / "folder")
    theirs.double()
    for ours in (built(stored(tmp_path, {"state_dict": tensors})), built(tmp_path / "folder")):
        mean, std = ours.encode(images())
        pixels, x, (encoded, images_of_x) = passes(ours)
        expected = theirs.encode(pixels).latent_dist
        assert relative_error(encoded, expected.parameters) < EXACT
        assert relative_error(images_of_x, theirs.decode(x).sample) < EXACT
        assert relative_error(mean, expected.mean) < CLOSE
        assert relative_error(std, expected.std) < CLOSE


@pytest.mark.parametrize(
    "sizes",
    [
        {"widths": (32, 32, 64), "attention": (2,)},
        {"widths": (32, 32, 64), "attention": (1, 2), "residuals": 2},
        {"attention": (0,)},
        {"inner": 6},
    ],
    ids=str,
)
def test_the_formulas_written_out_give_the_same(tmp_path, sizes):
    weights = first_stage(**sizes)
    ours = built(stored(tmp_path, {"state_dict": weights}))
    assert agree(ours, weights)
    assert ours.architecture.encoder_attention == sizes.get("attention", ())
    assert ours.architecture.latent_channels == 4


def test_the_autoencoder_of_lightningdit_has_32_channels_of_16_pixels(tmp_path):
    # As wide as it takes for its proportions.
    weights = first_stage((32, 32, 64, 64, 128), 2, latent=32, attention=(4,))
    ours = VAVAEConfig(weights=str(stored(tmp_path, {"state_dict": weights})), precision="32-true").build()
    assert ours.shape(3, 256, 256) == (32, 16, 16)
    assert ours.scale == 1.0
    assert ours.identity["type"] == "va-vae"
    assert agree(ours, weights, 32)


@pytest.mark.parametrize(
    ("prefix", "container"),
    [
        ("", None),
        ("", "model"),
        ("module.", "state_dict"),
        ("first_stage_model.", "state_dict"),
        ("module.first_stage_model.", None),
        ("model.", "state_dict"),
        ("_orig_mod.", "model"),
    ],
)
def test_names_may_have_a_prefix_and_stand_beside_what_training_needs(tmp_path, prefix, container):
    weights = first_stage()
    content = {f"{prefix}{name}": tensor.half() for name, tensor in weights.items()}
    content |= {
        f"{prefix}loss.discriminator.main.0.weight": torch.zeros(2),
        f"{prefix}loss.logvar": torch.zeros(()),
        f"{prefix}logvar": torch.zeros(3),
        f"{prefix}foundation_model.model.blocks.0.norm1.weight": torch.zeros(4),
        f"{prefix}linear_proj.weight": torch.zeros(4, 4, 1, 1),
    }
    file = stored(tmp_path, {container: content} if container else content)
    assert agree(built(file), {name: tensor.half() for name, tensor in weights.items()})


@pytest.mark.parametrize("form", [".ckpt", ".safetensors"])
def test_a_whole_checkpoint_of_stable_diffusion_gives_its_first_stage(tmp_path, form, monkeypatch):
    weights = first_stage()
    content = {f"first_stage_model.{name}": tensor for name, tensor in weights.items()}
    content |= {
        "model.diffusion_model.input_blocks.0.0.weight": torch.ones(2),
        "model_ema.diffusion_modelinput_blocks00weight": torch.ones(2),
        "model_ema.decay": torch.tensor(0.9999),
        "cond_stage_model.encoder.conv_in.weight": torch.ones(4, 3, 3, 3),
        "scale_factor": torch.tensor(0.25),
    }
    if form == ".safetensors":
        save_file(content, tmp_path / "model.safetensors")
        file = tmp_path / "model.safetensors"
    else:
        # As Lightning wrote it: the state of a callback under its class, of which nothing is executed.
        module = ModuleType("pytorch_lightning.callbacks.model_checkpoint")
        module.ModelCheckpoint = type("ModelCheckpoint", (), {"__module__": module.__name__})
        for name in ("pytorch_lightning", "pytorch_lightning.callbacks", module.__name__):
            monkeypatch.setitem(sys.modules, name, module)
        state = {module.ModelCheckpoint: {"monitor": "val/loss"}}
        file = stored(tmp_path, {"callbacks": state, "state_dict": content})
        monkeypatch.undo()
    ours = built(file, scale=None)
    assert agree(ours, weights)
    assert ours.scale == 0.25
    assert built(file, scale=2.0).scale == 2.0


def undotted(weights):
    return {name.replace(".", ""): tensor for name, tensor in weights.items()}


@pytest.mark.parametrize(
    ("prefix", "place"),
    [
        ("", "model_ema."),
        ("module.", "module.model_ema."),
        ("first_stage_model.", "first_stage_model.model_ema."),
        ("model.", "model_ema."),
        ("first_stage_model.", "model_ema.first_stage_model"),
    ],
)
def test_ema_weights_are_taken_whose_names_lost_their_dots(tmp_path, prefix, place):
    trained, average = first_stage(), first_stage(seed=1)
    content = {f"{prefix}{name}": tensor for name, tensor in trained.items()}
    content |= {f"{place}{name}": tensor for name, tensor in undotted(average).items()}
    content |= {f"{place.partition('model_ema.')[0]}model_ema.num_updates": torch.tensor(7)}
    content |= {f"{place}lossdiscriminatormain0weight": torch.zeros(2)}
    ours = built(stored(tmp_path, {"state_dict": content}))
    assert agree(ours, average)
    assert not agree(ours, trained)


@pytest.mark.parametrize("place", ["ema", "model_ema"])
def test_ema_weights_with_dots_are_taken(tmp_path, place):
    trained, average = first_stage(), first_stage(seed=1)
    assert agree(built(stored(tmp_path, {"state_dict": trained, place: average})), average)
    content = trained | {f"{place}.{name}": tensor for name, tensor in average.items()}
    assert agree(built(stored(tmp_path, {"state_dict": content})), average)


def test_an_encoder_that_was_not_trained_has_no_ema(tmp_path):
    # As of the fine-tuned autoencoders of Stable Diffusion, whose decoder alone was trained.
    trained, average = first_stage(), first_stage(seed=1)
    decoder = {name: one for name, one in average.items() if name.startswith(("decoder", "post_quant"))}
    content = trained | {f"model_ema.{name}": one for name, one in undotted(decoder).items()}
    assert agree(built(stored(tmp_path, {"state_dict": content})), trained | decoder)


def test_pruned_files_keep_counters_of_an_ema_alone(tmp_path):
    weights = first_stage()
    counters = {"model_ema.decay": torch.tensor(0.9999), "model_ema.num_updates": torch.tensor(840_000)}
    assert agree(built(stored(tmp_path, {"state_dict": weights | counters})), weights)


def ema_without(name):
    average = {f"model_ema.{one}": tensor for one, tensor in undotted(first_stage(seed=1)).items()}
    return {one: tensor for one, tensor in average.items() if one != f"model_ema.{name}"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            ema_without("decoderconv_inbias"),
            r"EMA weights .* not understood \(none of decoder\.conv_in\.bias\)",
        ),
        ({"model_ema.decoderup9conv": torch.ones(1)}, r"EMA weights .* not understood \(decoderup9conv"),
        (
            {"decoder.conv_out.bias": None},
            r"not fit latent-diffusion's .*: 'decoder\.conv_out\.bias' is missing",
        ),
        ({"decoder.up.1.block.0.conv1.bias": None}, r"'decoder\.up\.1\.block\.0\.conv1\.bias' is missing"),
        (
            {"encoder.mid.attn_1.q.weight": torch.ones(64, 32, 1, 1)},
            r"'encoder\.mid\.attn_1\.q\.weight' has shape "
            r"\(64, 32, 1, 1\), not \(64, 64\)",
        ),
        ({"quantize.embedding.weight": torch.ones(9, 4)}, r"'quantize\.embedding\.weight' is not known"),
        ({"encoder.conv_in.weight": None}, r"no convolution 'encoder\.conv_in\.weight'.*latent-diffusion's"),
        (
            {"decoder.norm_out.bias": torch.full((32,), float("inf"))},
            r"'decoder\.norm_out\.bias' .* not finite",
        ),
        ({"scale_factor": torch.tensor(-1.0)}, r"scale_factor = -1\.0, which is no positive number"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_tensors_that_do_not_fit_are_named_as_in_the_file(tmp_path, changes, message):
    content = {name: one for name, one in (first_stage() | changes).items() if one is not None}
    with pytest.raises(DataError, match=message) as caught:
        built(stored(tmp_path, {"state_dict": content}))
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"model": lightning_layout()}, r"no convolution 'encoder\.down_blocks.* is no autoencoder"),
        (
            {f"{one}.{name}": tensor for one in "ab" for name, tensor in first_stage().items()},
            r"several autoencoders stand in the file, under 'a\.', 'b\.'",
        ),
        ({"state_dict": {}}, "holds no tensors but state_dict"),
    ],
    ids=["another", "two", "none"],
)
def test_a_file_of_another_thing_is_refused(tmp_path, content, message):
    with pytest.raises(DataError, match=message):
        built(stored(tmp_path, content))


def test_groups_that_do_not_divide_the_width_are_refused(tmp_path):
    weights = {name: tensor[..., :] for name, tensor in first_stage().items()}
    weights["encoder.down.0.block.0.conv1.weight"] = torch.ones(20, 32, 3, 3)
    with pytest.raises(
        DataError, match=r"\(20, 64\) .* cannot be normalised in 32 groups; latent-diffusion's"
    ):
        built(stored(tmp_path, {"state_dict": weights}))


def test_a_scale_that_nothing_states_is_assumed_of_stable_diffusion_alone(tmp_path):
    file = stored(tmp_path, first_stage((32, 32, 32, 32)))
    assert built(file, scale=None).scale == 0.18215
    other = stored(tmp_path, first_stage(latent=16), "other.pt")
    with pytest.raises(
        ConfigError, match=r"scale of the latents of .* 16 channels of 2 pixels .* set the auto"
    ):
        built(other, scale=None)
    with pytest.raises(ConfigError, match="scale"):
        component("autoencoder", {"type": "va-vae", "scale": 0.0})


def test_a_damaged_checkpoint_is_refused(tmp_path):
    file = stored(tmp_path, {"state_dict": first_stage()})
    file.write_bytes(file.read_bytes()[:5000])
    with pytest.raises(DataError, match="cannot be read as plain tensors"):
        built(file)


@torch.no_grad()
def test_an_imported_network_is_decoded_once_its_normalisation_is_undone(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    weights = first_stage((32, 32), latent=6, attention=(1,))
    stored(tmp_path, {"state_dict": weights}, "vae.pt")
    torch.save(STATISTICS, "latents_stats.pt")
    config = {
        "transport": {"path_type": "Linear", "prediction": "velocity"},
        "data": {"num_classes": ROWS - 1},
    }
    torch.save({"ema": lightning_layout(), "config": config}, "file.pt")
    words = ["import", "lightningdit", "file.pt", "net", "--latent-statistics", "latents_stats.pt"]
    assert main(words) == 0, capsys.readouterr().err
    common = ["count=2", "sampler=heun", "sampler.steps=2", "--labels", "1,2", "--device", "cpu"]
    assert main(["sample", "net", "latents", *common]) == 0, capsys.readouterr().err
    decoding = ["autoencoder=va-vae", "autoencoder.weights=vae.pt", "autoencoder.precision=32-true"]
    assert main(["sample", "net", "images.npz", *common, *decoding]) == 0, capsys.readouterr().err
    x = load_file("latents/samples.safetensors")["x"]
    found = thalweg.load("net").facts.normalisation
    assert found.mean == pytest.approx(STATISTICS["mean"].flatten().tolist())
    expected = decoded(weights, x * STATISTICS["std"] + STATISTICS["mean"])
    shown = torch.from_numpy(np.load("images.npz")["arr_0"]).permute(0, 3, 1, 2).float()
    differ = (shown - ((expected.clamp(-1, 1) + 1) * 127.5).round()).abs()
    assert float(differ.max()) <= 1
    assert float(differ.mean()) < 0.01
    assert shown.std() > 10


def test_encode_stores_latents_of_16_pixels_without_a_scale(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    stored(tmp_path, {"state_dict": first_stage((32,) * 5, latent=32, attention=(4,))}, "vae.pt")
    image_folder(tmp_path / "images", each=1, edge=32)
    words = ["encode", "images", "out", "--size", "32", "--autoencoder", "va-vae", "--weights", "vae.pt"]
    assert main([*words, "--device", "cpu", "--devices", "1"]) == 0, capsys.readouterr().err
    header = read_index(Location("out")).header
    assert (header.shape, header.scale) == ((32, 2, 2), 1.0)
    assert header.autoencoder["type"] == "va-vae"
