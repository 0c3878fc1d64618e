"""Frozen networks beside the one that is trained."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float, UInt8
from torch import Tensor

from thalweg.types import EncodedCaptions, Features


@runtime_checkable
class VisionEncoder(Protocol):
    """A frozen encoder of images. A ``torch.nn.Module`` or anything like it; never trained or saved.

    ``offers`` says what it computes: ``pooled`` features, which metrics read, as a :class:`PooledEncoder`;
    ``patches``, patch tokens that those of a backbone are aligned with, as a :class:`PatchEncoder`. Beside
    pooled features there may be ``logits`` and ``spatial`` features. One that reads the images' captions says
    ``captions``, one whose logits stand for the data set's own classes ``classes``.

    Its config has ``name`` besides, known before anything is loaded.

    Attributes:
        name: a short name, such as ``dinov2-b``, under which its patch tokens are stored.
        offers: any of those words.
    """

    name: str
    offers: frozenset[str]


@runtime_checkable
class PooledEncoder(VisionEncoder, Protocol):
    """A vision encoder with one vector for each image.

    One with a text tower in the same space has ``encode_captions(captions)`` besides. One that is trained on
    real images first has ``fit(images, labels, trained_on)``.

    Attributes:
        title: what its features are called beside a number, such as ``DINOv2 ViT-l/14``.
        identity: whatever decides the features, as passports and caches record it: ``type``, the weights'
            SHA-256, the rule by which images are resized and to which size, the precision.
    """

    title: str
    identity: Mapping[str, Any]

    def __call__(
        self,
        images: UInt8[Tensor, "N channels height width"],
        captions: Sequence[str] | None = None,
    ) -> Features:
        """Features of images 0..255 of 1 or 3 channels, in float32 on the CPU.

        ``captions`` are handed over only to one that offers them.
        """
        ...

    def number_name(self, number: str) -> str:
        """What a metric's number is called in these features, such as ``fid`` for ``frechet_distance``.

        Numbers in the features of different networks bear different names; :func:`thalweg.naming.qualified`
        makes them.
        """
        ...


@runtime_checkable
class PatchEncoder(VisionEncoder, Protocol):
    """A vision encoder with a token for each patch of an image: a teacher.

    Its config has ``patch_identity`` besides: what of it is known before anything is loaded, at least
    ``type``. Stored tokens are used only where all of that agrees; of ``sha256`` it may know the beginning.

    Attributes:
        width: F, of a patch token.
        patch_identity: whatever decides the tokens, as shards record it.
    """

    width: int
    patch_identity: Mapping[str, Any]

    def patch_tokens(
        self, images: UInt8[Tensor, "N channels height width"], grid: tuple[int, int]
    ) -> Float[Tensor, "N T F"]:
        """Patch tokens, row by row, of the images resized so that there are ``grid`` of them.

        Raises:
            ConfigError: if no size of image gives that grid.
        """
        ...


@runtime_checkable
class TextEncoder(Protocol):
    """A frozen encoder of captions. A ``torch.nn.Module`` or anything like it; never trained or saved.

    Its config has ``shape`` besides, (L, E), known before weights are loaded.

    Attributes:
        identity: what it is, which weights it has, and its length.
        length: L, tokens that each caption is padded or cut to.
        width: E, of a token.
    """

    identity: Mapping[str, Any]
    length: int
    width: int

    def __call__(self, captions: Sequence[str]) -> EncodedCaptions:
        """Tokens of each caption. An empty one is encoded like any other: it stands for no caption."""
        ...


@runtime_checkable
class Autoencoder(Protocol):
    """Between images and the latents that a network is trained on. A ``torch.nn.Module`` or anything like it.

    Attributes:
        identity: what it is and which weights it has, as shards record it: ``type`` and whatever makes two
            of them differ, such as the weights' SHA-256.
        scale: factor that brings a latent to unit variance.
    """

    identity: Mapping[str, Any]
    scale: float

    def shape(self, channels: int, height: int, width: int) -> tuple[int, int, int]:
        """The latents' shape for images of this one.

        Raises:
            ConfigError: if images of this shape cannot be encoded.
        """
        ...

    def encode(
        self, images: UInt8[Tensor, "N channels height width"]
    ) -> tuple[Float[Tensor, "N C H W"], Float[Tensor, "N C H W"] | None]:
        """Mean and standard deviation of the posterior, before ``scale``; None for one without spread."""
        ...

    def decode(self, x: Float[Tensor, "N C H W"]) -> UInt8[Tensor, "N channels height width"]:
        """Images of samples as the network gives them, that is after ``scale``."""
        ...
