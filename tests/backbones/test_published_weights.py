"""The table that is shipped, and what takes its weights by default or by name."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from transformers import CLIPTokenizer

from autoencoder_makers import write_sd_vae
from first_stages import first_stage
from released import layout
from text_makers import random_t5
from thalweg import DataError
from thalweg.cli.main import main
from thalweg.facts import Facts
from thalweg.storage.url_texts import scheme_of
from thalweg.weights.entry import WHOLE
from thalweg.weights.tables import entries
from thalweg_backbones.autoencoder.sd_vae import SDVAEConfig
from thalweg_backbones.autoencoder.va_vae import VAVAEConfig
from thalweg_backbones.text.clip import ClipTextConfig
from thalweg_backbones.text.t5 import T5Config
from thalweg_backbones.vision import inception
from thalweg_backbones.vision.clip import ClipConfig
from thalweg_backbones.vision.dinov1 import DinoV1Config
from thalweg_backbones.vision.dinov2 import DinoV2Config
from thalweg_backbones.vision.inception import InceptionConfig
from thalweg_backbones.vision.mae import MAEConfig
from vision_makers import published_dinov2, random_clip, random_vit

FACTS = Facts(shape=(3, 8, 8))
ENTRIES = entries()
VISION = [
    *(DinoV2Config(size=size, registers=registers) for size in "sblg" for registers in (False, True)),
    *(DinoV1Config(size=size) for size in "sb"),
    *(MAEConfig(size=size) for size in "blh"),
]
FOLDERS = {
    "clip-vit-large-patch14": {"config.json", "model.safetensors", "tokenizer.json", "vocab.json"},
    "t5-v1_1-xxl": {"config.json", "model.safetensors", "tokenizer.json"},
    **{
        f"t5-{size}": {"config.json", "model.safetensors", "tokenizer.json"}
        for size in ("small", "base", "large")
    },
    **{
        f"sd-vae-ft-{kind}": {"config.json", "diffusion_pytorch_model.safetensors"} for kind in ("ema", "mse")
    },
}


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The folder of all weights, and a torch.hub with nothing in it."""
    monkeypatch.setenv("THALWEG_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    (tmp_path / "weights").mkdir()
    return tmp_path / "weights"


@pytest.mark.parametrize("name", ENTRIES)
def test_every_entry_is_complete(name):
    entry = ENTRIES[name]
    assert entry.name == name
    assert entry.what
    assert entry.licence
    assert scheme_of(entry.source) == "https"
    for file in entry.files:
        for url in file.urls:
            assert scheme_of(url) == "https"
            assert not any(blank in url for blank in " \t\n'\"")
        assert not file.sha256 or 8 <= len(file.sha256) <= WHOLE
        # No file was here to compare with: a sum is the publisher's own or none at all.
        assert file.checked == ("stated" if file.sha256 else "unverified")
        if file.sha256:
            assert file.sha256 in file.urls[0].rpartition("/")[2]


def test_what_must_be_there_is():
    others = {"inception", "sit-xl-2-256", "repa-sit-xl-2-256", "deepflow-xl-2-3t-256", "dit-xl-2-256"}
    others |= {"imagenet-256-reference", "imagenet-512-reference"}
    others |= {"va-vae-f16d32", "va-vae-f16d32-statistics", "lightningdit-xl-1-256"}
    assert ENTRIES.keys() >= {*FOLDERS, *others, *(config.name for config in VISION)}


def test_two_entries_share_no_file():
    urls = [url for name, one in ENTRIES.items() for file in one.files for url in file.urls]
    shared = {url for url in urls if urls.count(url) > 1}
    assert {url.rpartition("/")[2] for url in shared} == {"tokenizer.json"}


@pytest.mark.parametrize("config", VISION, ids=lambda config: config.name)
def test_the_entry_of_an_encoder_is_the_file_that_it_reads(config):
    (file,) = ENTRIES[config.name].files
    assert file.urls == [config.published.source]
    assert file.name == config.published.source.rpartition("/")[2]


def test_the_entry_of_inception_is_the_file_that_it_reads():
    (file,) = ENTRIES["inception"].files
    assert (file.name, file.urls, file.sha256) == (inception.FILE, [inception.SOURCE], inception.PUBLISHED)


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_hold_what_is_read_of_them(name):
    assert {file.name for file in ENTRIES[name].files} >= FOLDERS[name]


@pytest.mark.parametrize(
    ("config", "name"),
    [
        *((config, config.name) for config in VISION[:1] + VISION[8:]),
        (InceptionConfig(), "inception"),
        (ClipConfig(), "clip-vit-large-patch14"),
        (ClipTextConfig(), "clip-vit-large-patch14"),
        (T5Config(), "t5-v1_1-xxl"),
        (SDVAEConfig(), "sd-vae-ft-ema"),
        (VAVAEConfig(), "va-vae-f16d32"),
    ],
    ids=lambda one: one if isinstance(one, str) else type(one).__name__,
)
def test_what_is_not_here_says_what_fetches_it(weights, config, name):
    uninformed = isinstance(config, ClipTextConfig | T5Config | SDVAEConfig)
    with pytest.raises(DataError, match=f"'thalweg weights get {name}' fetches them.*with --download"):
        config.build() if uninformed else config.build(FACTS)
    assert list(weights.iterdir()) == []


def test_an_encoder_takes_what_was_fetched_then_what_torch_hub_has(weights, tmp_path):
    fetched = weights / "dinov2-s/dinov2_vits14_pretrain.pth"
    hub = tmp_path / "hub/checkpoints/dinov2_vits14_pretrain.pth"
    for path, seed in ((hub, 0), (fetched, 1)):
        path.parent.mkdir(parents=True)
        torch.save(published_dinov2(random_vit("vit_small_patch14_dinov2", seed)), path)
        encoder = DinoV2Config(size="s").build(FACTS)
        stated = DinoV2Config(size="s", weights=str(path)).build(FACTS)
        assert encoder.identity == stated.identity
    assert DinoV2Config(size="s", weights="weights:dinov2-s").build(FACTS).identity == encoder.identity
    fetched.write_bytes(b"damaged")
    with pytest.raises(DataError, match="is not what it was when it arrived"):
        DinoV2Config(size="s").build(FACTS)


def test_what_is_known_of_features_needs_no_weights(weights):
    assert ClipConfig().patch_identity["sha256"] == ""
    assert DinoV2Config(weights="weights:dinov2-b", sha256="ab").patch_identity["sha256"] == "ab"


def test_clip_takes_what_was_fetched(weights):
    folder = weights / "clip-vit-large-patch14"
    random_clip(folder)
    CLIPTokenizer.from_pretrained(folder).save_pretrained(folder)  # which writes tokenizer.json
    _fill(weights, "clip-vit-large-patch14")
    encoder = ClipConfig().build(FACTS)
    stated = ClipConfig(folder=str(folder)).build(FACTS)
    assert encoder.identity == stated.identity
    assert encoder.identity["model"] == "clip-vit-large-patch14"


def test_a_text_encoder_takes_what_was_fetched(weights):
    random_t5(weights / "t5-v1_1-xxl")
    _fill(weights, "t5-v1_1-xxl")
    stated = T5Config(weights=str(weights / "t5-v1_1-xxl"))
    assert T5Config().shape == stated.shape
    assert (
        T5Config().build().identity
        == stated.build().identity
        == T5Config(weights="weights:t5-v1_1-xxl").build().identity
    )


def test_the_autoencoder_takes_what_was_fetched(weights):
    for seed, kind in enumerate(("ema", "mse")):
        write_sd_vae(weights / f"sd-vae-ft-{kind}", seed)
    by_default = SDVAEConfig().build().identity
    assert by_default == SDVAEConfig(weights=str(weights / "sd-vae-ft-ema")).build().identity
    assert by_default != SDVAEConfig(weights="weights:sd-vae-ft-mse").build().identity


def test_the_autoencoder_of_lightningdit_is_a_single_file(weights):
    (weights / "va-vae-f16d32").mkdir()
    file = weights / "va-vae-f16d32/vavae-imagenet256-f16d32-dinov2.pt"
    torch.save({"state_dict": first_stage()}, file)
    assert VAVAEConfig().build().identity == VAVAEConfig(weights=str(file)).build().identity


def test_import_takes_a_name(weights, tmp_path, capsys):
    words = ["import", "sit", "weights:sit-xl-2-256", str(tmp_path / "out")]
    words += ["--heads", "2", "--path", "linear", "--prediction", "velocity", "--classes", "10"]
    assert main(words) == 4
    assert "'thalweg weights get sit-xl-2-256' fetches them" in capsys.readouterr().err
    (weights / "sit-xl-2-256").mkdir()
    torch.save(layout(), weights / "sit-xl-2-256/SiT-XL-2-256.pt")
    assert main(words) == 0, capsys.readouterr().err
    assert (tmp_path / "out/model.json").is_file()


def test_encode_takes_the_default_and_a_name_and_writes_to_none(weights, tmp_path, monkeypatch, capsys):
    write_sd_vae(weights / "sd-vae-ft-mse")
    (tmp_path / "images").mkdir()
    Image.new("RGB", (16, 16), (9, 8, 7)).save(tmp_path / "images/a.png")
    words = ["encode", str(tmp_path / "images"), str(tmp_path / "latents"), "--size", "16", "--device", "cpu"]
    assert main([*words, "--devices", "1"]) == 4
    assert "'thalweg weights get sd-vae-ft-ema' fetches them" in capsys.readouterr().err
    assert main([*words, "--devices", "1", "--weights", "weights:sd-vae-ft-mse"]) == 0, (
        capsys.readouterr().err
    )
    words[2] = "weights:sd-vae-ft-mse"
    assert main([*words, "--weights", "weights:sd-vae-ft-mse"]) == 2
    assert "published weights are only read" in capsys.readouterr().err


def _fill(weights: Path, name: str) -> None:
    """Empty files for those of an entry that a small network lacks."""
    for file in ENTRIES[name].files:
        path = weights / name / file.name
        if not path.exists():
            path.write_text("{}" if path.suffix == ".json" else "")
