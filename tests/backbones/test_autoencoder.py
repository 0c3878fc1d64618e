"""sd-vae: what diffusers' AutoencoderKL computes, from the same files."""

import json
import warnings

import pytest
import torch
from safetensors.torch import load_file, save_file

from autoencoder_makers import SMALL, sd_vae_tensors, write_sd_vae
from thalweg.config import component, dump
from thalweg.errors import ConfigError, DataError
from thalweg_backbones.autoencoder.architecture import architecture_of
from thalweg_backbones.autoencoder.layouts import DIFFUSERS
from thalweg_backbones.autoencoder.loading import FILE
from thalweg_backbones.autoencoder.sd_vae import SDVAEConfig

CLOSE = 1e-5  # relative to the root mean square of what is compared


def sd_vae(weights, **options):
    return SDVAEConfig(weights=str(weights), **{"precision": "32-true", **options}).build()


def photographs(count=2, size=64):
    return torch.randint(
        0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(3)
    )


def same(ours, theirs):
    return float((ours - theirs).norm() / theirs.norm()) < CLOSE


@pytest.fixture(
    scope="module",
    params=[((128, 256, 512, 512), 2, 32, 4), ((16, 48), 1, 8, 3)],
    ids=["published", "narrow"],
)
def twins(request, tmp_path_factory):
    """Diffusers' autoencoder with random weights, and ours from the files that it writes."""
    widths, layers, groups, latent = request.param
    folder = tmp_path_factory.mktemp("weights")
    with warnings.catch_warnings(), torch.random.fork_rng():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        diffusers = pytest.importorskip("diffusers")
        theirs = diffusers.AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * len(widths),
            up_block_types=("UpDecoderBlock2D",) * len(widths),
            block_out_channels=widths,
            layers_per_block=layers,
            latent_channels=latent,
            norm_num_groups=groups,
        ).eval()
        theirs.save_pretrained(folder)
    return folder, theirs, sd_vae(folder)


@torch.no_grad()
def test_posteriors_are_those_of_diffusers(twins):
    _, theirs, ours = twins
    images = photographs()
    posterior = theirs.encode(images.float() / 127.5 - 1).latent_dist
    mean, std = ours.encode(images)
    assert mean.shape[1:] == ours.shape(3, 64, 64)
    assert same(mean, posterior.mean)
    assert same(std, posterior.std)


@torch.no_grad()
def test_latents_of_later_models_are_shifted_and_have_no_convolutions_around(tmp_path):
    from diffusers import AutoencoderKL

    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = AutoencoderKL(
            down_block_types=("DownEncoderBlock2D",) * 2,
            up_block_types=("UpDecoderBlock2D",) * 2,
            block_out_channels=(16, 32),
            latent_channels=16,
            norm_num_groups=8,
            scaling_factor=1.5305,
            shift_factor=0.0609,
            use_quant_conv=False,
            use_post_quant_conv=False,
        ).eval()
    theirs.save_pretrained(tmp_path)
    ours, images = sd_vae(tmp_path), photographs()
    assert ours.shape(3, 64, 64) == (16, 32, 32)
    mean, std = ours.encode(images)
    posterior = theirs.encode(images.float() / 127.5 - 1).latent_dist
    assert same(mean * ours.scale, (posterior.mean - 0.0609) * 1.5305)
    assert same(std, posterior.std)
    x = torch.randn(2, 16, 8, 8, generator=torch.Generator().manual_seed(5))
    expected = theirs.decode(x / 1.5305 + 0.0609).sample
    rounded = ((expected.clamp(-1, 1) + 1) * 127.5).round()
    differ = (ours.decode(x).float() - rounded).abs()
    assert float(differ.max()) <= 1
    assert float(differ.mean()) < 1e-3
    # What is stored depends on it, whatever the file.
    assert ours.identity["shift"] == 0.0609
    unshifted = sd_vae(tmp_path, shift=0.0)
    assert "shift" not in unshifted.identity
    assert same(unshifted.encode(images)[0], posterior.mean)
    settings = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**settings, "use_quant_conv": True}))
    with pytest.raises(DataError, match=r"has no 'quant_conv\.weight'"):
        sd_vae(tmp_path)


@torch.no_grad()
def test_decoded_images_are_those_of_diffusers(twins):
    _, theirs, ours = twins
    x = torch.randn(2, *ours.shape(3, 64, 64), generator=torch.Generator().manual_seed(5))
    expected = theirs.decode(x / 0.18215).sample
    assert same(ours.decoder(ours.post_quant_conv(x / 0.18215)), expected)
    rounded = ((expected.clamp(-1, 1) + 1) * 127.5).round()
    # One that falls between two bytes may be rounded either way.
    differ = (ours.decode(x).float() - rounded).abs()
    assert float(differ.max()) <= 1
    assert float(differ.mean()) < 1e-3


def test_the_file_alone_says_as_much_as_its_folder(twins):
    folder, _, ours = twins
    if ours.architecture.groups != 32:
        with pytest.raises(DataError, match=r"cannot be normalised in 32 groups; give the folder with the"):
            sd_vae(folder / FILE)
        return
    alone = sd_vae(folder / FILE)
    assert alone.identity == ours.identity
    assert alone.architecture == ours.architecture
    assert torch.equal(alone.encode(photographs(1))[0], ours.encode(photographs(1))[0])


@pytest.mark.parametrize("convolutional", [False, True])
def test_older_names_of_the_attention_are_read(tmp_path, convolutional):
    new = sd_vae(write_sd_vae(tmp_path / "new"))
    old = write_sd_vae(tmp_path / "old")
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    tensors = {}
    for name, tensor in load_file(old / FILE).items():
        for one, other in older.items():
            if f"attentions.0.{one}." in name:
                name = name.replace(one, other)
                if convolutional and tensor.ndim == 2:
                    tensor = tensor[:, :, None, None]
        tensors[name] = tensor
    assert "encoder.mid_block.attentions.0.proj_attn.weight" in tensors
    save_file(tensors, old / FILE)
    again = sd_vae(old)
    assert torch.equal(again.encode(photographs(1))[0], new.encode(photographs(1))[0])
    assert again.identity != new.identity  # it is another file


def test_weights_in_half_precision_are_read(tmp_path):
    folder = write_sd_vae(tmp_path)
    save_file({name: one.half() for name, one in load_file(folder / FILE).items()}, folder / FILE)
    mean, std = sd_vae(folder).encode(photographs(1))
    assert mean.dtype == std.dtype == torch.float32


def test_bfloat16_is_close_and_says_so(tmp_path):
    folder = write_sd_vae(tmp_path)
    exact, quick = sd_vae(folder), sd_vae(folder, precision="bf16-mixed")
    mean, std = quick.encode(photographs())
    assert mean.dtype == std.dtype == torch.float32
    reference = exact.encode(photographs())[0]
    assert 0 < float((mean - reference).norm() / reference.norm()) < 0.03
    assert quick.identity == {**exact.identity, "precision": "bf16-mixed"}


def test_bytes_are_rounded_or_cut_off_and_the_identity_says_which(tmp_path):
    folder = write_sd_vae(tmp_path)
    nearest, down = sd_vae(folder), sd_vae(folder, rounding="down")
    latents = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    difference = nearest.decode(latents).int() - down.decode(latents).int()
    assert set(difference.flatten().tolist()) == {0, 1}
    # Every value but those that are clipped has a fraction, and half of these are rounded up.
    assert 0.3 < float(difference.float().mean()) < 0.6
    assert down.identity == {**nearest.identity, "rounding": "down"}
    with pytest.raises(ConfigError, match="rounding"):
        component("autoencoder", {"type": "sd-vae", "rounding": "up"})


def test_the_identity_holds_the_files_checksum(tmp_path):
    one, same_again, other = (
        sd_vae(write_sd_vae(tmp_path / name, seed)) for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    )
    assert one.identity == same_again.identity
    assert one.identity["sha256"] != other.identity["sha256"]


def test_the_scale_is_stated_by_the_user_then_the_settings_then_the_paper(tmp_path):
    plain = write_sd_vae(tmp_path / "plain")
    stated = write_sd_vae(tmp_path / "stated", scaling_factor=0.13025)
    assert sd_vae(plain).scale == 0.18215
    assert sd_vae(stated).scale == 0.13025
    assert sd_vae(stated, scale=0.5).scale == 0.5


def test_the_variance_stays_within_its_bounds(tmp_path):
    folder = write_sd_vae(tmp_path)
    tensors = load_file(folder / FILE)
    for bound, expected in [(100.0, 10.0), (-100.0, -15.0)]:
        tensors["quant_conv.bias"][4:] = bound
        save_file(tensors, folder / FILE)
        std = sd_vae(folder).encode(photographs(1))[1]
        assert torch.allclose(std.log(), torch.full_like(std, expected))


def test_the_module_is_frozen_and_nothing_is_drawn(tmp_path):
    before = torch.get_rng_state()
    ours = sd_vae(write_sd_vae(tmp_path))
    assert torch.equal(torch.get_rng_state(), before)
    assert not ours.training
    assert not any(parameter.requires_grad for parameter in ours.parameters())


@pytest.mark.parametrize(
    ("shape", "message"),
    [((1, 16, 16), "images of 3 channels, not 1"), ((3, 16, 15), "16x15 images.* multiples of 2")],
)
def test_images_that_do_not_fit_are_refused(tmp_path, shape, message):
    ours = sd_vae(write_sd_vae(tmp_path))
    with pytest.raises(ConfigError, match=message):
        ours.shape(*shape)
    with pytest.raises(ConfigError, match=message):
        ours.encode(torch.zeros(1, *shape, dtype=torch.uint8))


def test_missing_weights_are_said_to_be_published_somewhere(tmp_path):
    for weights in (str(tmp_path / "nowhere"), str(tmp_path / "no.safetensors")):
        with pytest.raises(DataError, match=r"stabilityai/sd-vae-ft-mse.*set the autoencoder's weights"):
            SDVAEConfig(weights=weights).build()
    with pytest.raises(
        DataError, match=r"'sd-vae-ft-ema' are not here .*'thalweg weights get sd-vae-ft-ema'"
    ):
        SDVAEConfig().build()


def test_keys_of_storage_are_not_written(tmp_path):
    config = SDVAEConfig(weights="s3://bucket/vae?token=hush-hush", storage_options={"secret": "very-secret"})
    assert "very-secret" not in json.dumps(dump(config)) + repr(config)
    assert "hush-hush" not in json.dumps(dump(config))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"_class_name": "AutoencoderTiny"}, "_class_name = 'AutoencoderTiny'"),
        ({"shift_factor": "0.1"}, "shift_factor = '0.1', which is no number"),
        (
            {"use_quant_conv": False},
            "has a 'quant_conv.weight', and its config.json states use_quant_conv = False",
        ),
        ({"act_fn": "gelu"}, "act_fn = 'gelu'"),
        ({"norm_num_groups": "many"}, "norm_num_groups = 'many'"),
        ({"norm_num_groups": 3}, "cannot be normalised in 3 groups"),
        ({"scaling_factor": -1}, "scaling_factor = -1"),
    ],
)
def test_settings_of_another_autoencoder_are_refused(tmp_path, settings, message):
    with pytest.raises(DataError, match=message):
        sd_vae(write_sd_vae(tmp_path, **settings))


@pytest.mark.parametrize("content", ["{", "[1]"])
def test_damaged_settings_are_refused(tmp_path, content):
    folder = write_sd_vae(tmp_path)
    (folder / "config.json").write_text(content)
    with pytest.raises(DataError, match=r"config\.json .*download it again"):
        sd_vae(folder)


@pytest.mark.parametrize("length", [0, 7, 100, 5000])
def test_a_file_that_is_cut_off_is_refused(tmp_path, length):
    folder = write_sd_vae(tmp_path)
    content = (folder / FILE).read_bytes()
    (folder / FILE).write_bytes(content[:length])
    with pytest.raises(DataError, match="cannot be read as plain tensors"):
        sd_vae(folder)


def test_values_that_are_not_finite_are_refused(tmp_path):
    folder = write_sd_vae(tmp_path)
    tensors = load_file(folder / FILE)
    tensors["decoder.conv_in.bias"][0] = float("nan")
    save_file(tensors, folder / FILE)
    with pytest.raises(DataError, match=r"'decoder\.conv_in\.bias' of .* not finite"):
        sd_vae(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: tensors.pop("decoder.conv_out.bias"), r"'decoder\.conv_out\.bias' is missing"),
        (lambda tensors: tensors.update(more=torch.zeros(1)), "'more' is not known"),
        (
            lambda tensors: tensors.update({"quant_conv.bias": torch.zeros(3)}),
            r"'quant_conv\.bias' has shape \(3,\), not \(8,\)",
        ),
        (lambda tensors: tensors.pop("encoder.conv_in.weight"), r"no convolution 'encoder\.conv_in\.weight'"),
    ],
)
def test_tensors_that_do_not_fit_are_named(tmp_path, change, message):
    folder = write_sd_vae(tmp_path)
    tensors = load_file(folder / FILE)
    change(tensors)
    save_file(tensors, folder / FILE)
    with pytest.raises(DataError, match=message):
        sd_vae(folder)


def test_sizes_are_read_off_the_tensors():
    shapes = {name: tuple(tensor.shape) for name, tensor in sd_vae_tensors().items()}
    assert architecture_of(shapes, DIFFUSERS, SMALL.groups, "weights") == SMALL
    with pytest.raises(DataError, match="weights has no convolution"):
        architecture_of({}, DIFFUSERS, 32, "weights")
