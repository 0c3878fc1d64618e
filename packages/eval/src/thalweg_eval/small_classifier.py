"""A small convolutional classifier, trained in seconds on real images, that scores samples of tiny ones.

A distance in its features is a "Frechet distance in the features of a small classifier", never FID: it
compares models scored by the same trained classifier, and nothing else.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import attrs
import torch
from attrs.validators import ge, gt
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn
from torch.nn import functional

from thalweg.arguments import AT_ONCE, SEED, STEPS, Integers
from thalweg.data.order import indices
from thalweg.data.pixels import from_images
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.facts import Facts, image_shape
from thalweg.naming import qualified
from thalweg.randomness import generator
from thalweg.types import Features

_FITTED: dict[Any, dict[str, Tensor]] = {}
"""Weights by all that they depend on: a process that scores often fits the same classifier once."""

_MIDDLE_SIDE, _LAST_SIDE = 8, 4  # the shorter side is halved until it is no longer than these


@attrs.frozen
class SmallClassifierConfig:
    """A convolutional classifier for images of about 8x8 to 32x32, to be fitted before use.

    Attributes:
        seed: of its weights, batches and shifts; nothing else is drawn.
        steps: batches it is trained on.
        width: channels of the layers above 8x8 pixels; those below have twice as many.
        features: F, width of the layer before the logits, the features it hands out.
        batch_size: images a batch.
        lr: peak learning rate of AdamW; it falls to zero along a half cosine.
        shift: images are moved by up to this many pixels each way while training.
    """

    seed: int = attrs.field(default=0, validator=SEED)
    steps: int = attrs.field(default=600, validator=STEPS)
    width: int = attrs.field(default=16, validator=Integers(1, 65_536))
    features: int = attrs.field(default=64, validator=Integers(1, 65_536))
    batch_size: int = attrs.field(default=128, validator=AT_ONCE)
    lr: float = attrs.field(default=3e-3, validator=gt(0.0))
    shift: int = attrs.field(default=1, validator=ge(0))
    name = "small_classifier"

    def build(self, facts: Facts) -> "SmallClassifier":
        """The classifier with its initial weights.

        Raises:
            ConfigError: for unconditional data, which teach no class, and for data that are no images.
        """
        shape = image_shape(facts.shape, "the vision encoder 'small_classifier'", "choose other metrics")
        if facts.classes is None:
            raise ConfigError("the vision encoder 'small_classifier' needs data with classes; choose another")
        return SmallClassifier(self, shape, facts.classes)


class SmallClassifier(nn.Module):
    """The encoder: features are those of the last hidden layer before its activation.

    Args:
        config: hyperparameters.
        shape: channels, height and width of its images.
        classes: number of classes.
    """

    name, offers = "small_classifier", frozenset({"pooled", "logits", "classes"})

    def __init__(self, config: SmallClassifierConfig, shape: tuple[int, int, int], classes: int) -> None:
        super().__init__()
        self.title = "small_classifier"
        self._config, self._shape, self._classes, self._fitted = config, shape, classes, False
        # On the meta device the default initialisation draws nothing from the process-wide generator.
        with torch.device("meta"):
            self.stem, self.head = _stem(config, shape), nn.Linear(config.features, classes)
        self.to_empty(device="cpu")
        self._initialise(generator(config.seed, "small_classifier weights"))

    @property
    def identity(self) -> Mapping[str, Any]:
        """What it was trained on, and its weights as they are now."""
        content = b"".join(one.detach().cpu().numpy().tobytes() for one in self.state_dict().values())
        return {
            "type": "small_classifier",
            "weights": hashlib.sha256(content).hexdigest(),
            "trained": self.title,
            "resize": "none",
            "precision": "float32",
        }

    def number_name(self, number: str) -> str:
        """``fd_small_classifier`` and its like."""
        return qualified(number, "small_classifier")

    def fit(
        self,
        images: UInt8[Tensor, "N channels height width"],
        labels: Int[Tensor, " M"],
        trained_on: str,
    ) -> "SmallClassifier":
        """Train on real images from the initial weights and return itself.

        Cross-entropy, AdamW. The result depends on the config and the images alone.

        Args:
            images: 0..255, of the shape it was built for.
            labels: the class of each.
            trained_on: what the images are, for its title, such as ``digits``.

        Raises:
            DataError: for no images, another shape, a label missing or outside 0..classes-1.
        """
        self._check_images(images)
        if len(labels) != len(images):
            raise DataError(f"there are {len(images)} images but {len(labels)} labels; give one per image")
        if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self._classes:
            raise DataError(f"a label lies outside 0..{self._classes - 1}; correct the labels")
        content = images.cpu().numpy().tobytes() + labels.cpu().long().numpy().tobytes()
        sizes = self._shape, self._classes, torch.get_num_threads()
        key = hashlib.sha256(content).hexdigest(), self._config, *sizes
        if key in _FITTED:
            self.load_state_dict(_FITTED[key])
        else:
            self._train(from_images(images.cpu()), labels.cpu().long())
            _FITTED[key] = {name: one.clone() for name, one in self.state_dict().items()}
        self._fitted = True
        self.title = f"small_classifier trained on {len(images)} images of {trained_on}"
        return self

    @torch.no_grad()
    def forward(self, images: UInt8[Tensor, "N channels height width"]) -> Features:
        """Features and logits of images 0..255.

        Raises:
            ThalwegError: before it was fitted.
            DataError: for images of another shape than it was built for.
        """
        if not self._fitted:
            raise ThalwegError("the small classifier is not fitted yet; call its fit() first")
        self._check_images(images)
        pooled_NF = self.stem(from_images(images.cpu()))
        return Features(pooled=pooled_NF, logits=self.head(functional.silu(pooled_NF)))

    def _train(self, clean_NCHW: Float[Tensor, "N C H W"], labels_N: Int[Tensor, " N"]) -> None:
        config = self._config
        self._initialise(generator(config.seed, "small_classifier weights"))
        optimiser = torch.optim.AdamW(self.parameters(), lr=config.lr, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, config.steps)
        with torch.enable_grad():
            for step in range(config.steps):
                chosen = torch.tensor(indices(config.seed, step, config.batch_size, len(clean_NCHW)))
                draws = generator(config.seed, "small_classifier shifts", step)
                logits = self.head(
                    functional.silu(self.stem(_shifted(clean_NCHW[chosen], config.shift, draws)))
                )
                optimiser.zero_grad()
                functional.cross_entropy(logits, labels_N[chosen]).backward()
                optimiser.step()
                schedule.step()

    def _check_images(self, images: Tensor) -> None:
        if tuple(images.shape[1:]) != self._shape:
            raise DataError(
                f"images of shape {tuple(images.shape[1:])} meet a small classifier for {self._shape}; "
                "give it images of the data set it was built for"
            )

    def _initialise(self, draws: torch.Generator) -> None:
        """Gaussian weights that keep the variance of activations, zero biases."""
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=draws)
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]


def _stem(config: SmallClassifierConfig, shape: tuple[int, int, int]) -> nn.Sequential:
    """From images to features; the wide layers see few pixels, so that larger images cost little more."""
    channels, height, width = shape
    narrow, wide = config.width, 2 * config.width
    layers: list[nn.Module] = [nn.Conv2d(channels, narrow, 3, padding=1), nn.SiLU()]
    for limit, channels in ((_MIDDLE_SIDE, narrow), (_LAST_SIDE, wide)):
        while min(height, width) > limit:
            layers += [nn.Conv2d(channels, channels, 3, stride=2, padding=1), nn.SiLU()]
            height, width = (height + 1) // 2, (width + 1) // 2
        if channels < wide:
            layers += [nn.Conv2d(narrow, wide, 3, padding=1), nn.SiLU()]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(wide * height * width, config.features))


def _shifted(
    x_NCHW: Float[Tensor, "N C H W"], reach: int, draws: torch.Generator
) -> Float[Tensor, "N C H W"]:
    """Each image moved by up to ``reach`` pixels down and across, its border repeated."""
    if reach == 0:
        return x_NCHW
    height, width = x_NCHW.shape[2:]
    padded_NCHW = functional.pad(x_NCHW, (reach,) * 4, mode="replicate")
    offsets_2N = torch.randint(0, 2 * reach + 1, (2, len(x_NCHW)), generator=draws)
    rows_NH = offsets_2N[0][:, None] + torch.arange(height)
    columns_NW = offsets_2N[1][:, None] + torch.arange(width)
    samples_N = torch.arange(len(x_NCHW))
    # Advanced indices around the channel slice come first: N, H, W, C.
    moved_NHWC = padded_NCHW[samples_N[:, None, None], :, rows_NH[:, :, None], columns_NW[:, None, :]]
    return moved_NHWC.permute(0, 3, 1, 2)
