"""Inception weights of the real layout, with random numbers in them."""

import hashlib
import warnings
from pathlib import Path
from unittest import mock

import torch
from torch import Tensor, nn

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

LAYERS = ["2048", "logits_unbiased"]
_LARGE = 8  # so that KID's kernel, computed in float32 on their side, is not all but 1
_INNER = ("branch3x3_1", "branch3x3dbl_1", "branch3x3dbl_2")  # of the last block, not at its end


class _Bare(FeatureExtractorInceptionV3):
    """torch-fidelity's network before any weights are read."""

    def load_state_dict(self, state_dict, *args, **kwargs):
        pass


def random_inception(path: Path) -> str:
    """Write the file and return its SHA-256.

    Normalisation layers are set by a few images, so that features vary from image to image as those of a
    trained network do; untouched, they would all but equal each other. Their biases keep most units open,
    since a random network that opens and shuts amplifies rounding a hundredfold on its way up. Nine in ten
    of the 2048 features are dead, so that a few hundred images have covariances of full rank in the others:
    where there are fewer images than features, torch-fidelity takes roots of eigenvalues that are zero but
    for rounding, and its FID is off by about 1e-5.
    """
    with mock.patch("torch.load", return_value=None), torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = _Bare("random", LAYERS, feature_extractor_weights_path="none")
        for module in network.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.weight, 0.8, 1.2)
                nn.init.normal_(module.bias, 1.0, 0.2)
                module.momentum = 1.0
    with torch.no_grad():
        network.train()
        network(torch.cat([pictures(6, seed=7), textures(6, seed=7)]))
        for name, module in network.Mixed_7c.named_modules():
            if isinstance(module, nn.BatchNorm2d) and not name.startswith(_INNER):
                dead = torch.arange(len(module.weight)) % 10 > 0
                module.weight[dead], module.bias[dead] = 0.0, -1.0
                module.weight[~dead] *= _LARGE
                module.bias[~dead] *= _LARGE
    torch.save(network.eval().state_dict(), path)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pictures(count: int, seed: int, side: int = 32) -> Tensor:
    """Smooth colourful images, N x 3 x side x side bytes."""
    draws = torch.Generator().manual_seed(seed)
    coarse = torch.randn(count, 3, 5, 5, generator=draws)
    fine = torch.randn(count, 3, side, side, generator=draws) * torch.rand(count, 1, 1, 1, generator=draws)
    smooth = nn.functional.interpolate(coarse, (side, side), mode="bilinear")
    return _bytes(smooth + 0.3 * fine + 0.3)


def textures(count: int, seed: int, side: int = 32) -> Tensor:
    """Images of tinted noise, N x 3 x side x side bytes."""
    draws = torch.Generator().manual_seed(1000 + seed)
    fine = torch.randn(count, 3, side, side, generator=draws)
    contrast = 0.5 + torch.rand(count, 1, 1, 1, generator=draws)
    return _bytes(fine * contrast + 0.5 * torch.randn(count, 3, 1, 1, generator=draws))


def _bytes(images: Tensor) -> Tensor:
    return (images * 60 + 128).clamp(0, 255).round().to(torch.uint8)
