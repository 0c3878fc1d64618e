"""The contracts that components fulfil, one protocol a kind.

Third parties inherit from nothing but ``torch.nn.Module``: whatever has these methods is a component.
A component is registered through its *config*: a frozen attrs class that holds the hyperparameters and
whose ``build(facts)`` returns the component. Some kinds are built from something else: the
``build()`` of a data set or source takes no facts, since it states them, and a logger's takes the run
directory.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import attrs
import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor, nn

from thalweg.facts import Facts
from thalweg.interpolant import Interpolant
from thalweg.told import Settled, Told
from thalweg.types import (
    Batch,
    Boundary,
    Condition,
    ConditionalField,
    EncodedCaptions,
    Features,
    Increments,
    ObjectiveValue,
    Plan,
    Refinement,
    Step,
    Stream,
    VelocityField,
)


@runtime_checkable
class Backbone(Protocol):
    """A transformer that can be run by ranges of its blocks; it knows nothing of branches.

    Attributes:
        depth: number of blocks.
        width: D, the width of its tokens.
        heads: attention heads.
        grid: tokens per column and per row; (1, 1) of one whose data have no places.
    """

    depth: int
    width: int
    heads: int
    grid: tuple[int, int]

    def embed(self, x_t: Float[Tensor, "N *shape"], condition: Condition) -> Stream:
        """Patch tokens with their positions (and the context's tokens): the input of block 1."""
        ...

    def condition(self, t: Float[Tensor, " N"], condition: Condition) -> Float[Tensor, "N D"]:
        """The vector c that modulates blocks and read-outs at time t."""
        ...

    def run(self, stream: Stream, c: Float[Tensor, "N D"], start: int, stop: int) -> Stream:
        """Blocks start..stop-1 on the stream."""
        ...

    def readout(self) -> nn.Module:
        """A new layer ``(tokens, c) -> x`` of the data's shape, giving zero at initialisation."""
        ...


@runtime_checkable
class Refiner(Protocol):
    """What stands between the branches. It may be one module for all boundaries, or have one for each.

    Attributes:
        readouts: names of the read-outs that it feeds, such as ``("acceleration",)``; often none. The network
            has a layer for each, shared by all boundaries, and an objective reads what it gives.
    """

    readouts: tuple[str, ...]

    def __call__(self, stream: Stream, boundary: Boundary) -> Refinement:
        """Turn what a branch wrote into what the next one reads.

        Args:
            stream: tokens as the branch left them, and the context beside them, which stays as it is.
            boundary: which one it is, the patch tokens, the condition, and the times on both sides.
        """
        ...


@runtime_checkable
class Objective(Protocol):
    """One term of the training loss.

    An objective that is a ``torch.nn.Module`` is trained along. It may state four things besides:
    ``hidden``, numbers of blocks after which it wants the network's hidden states; ``needs_images``, whether
    batches must bring the clean images; ``stop_after``, the steps after which it is left out; and
    ``of_batch``, true of a loss in which the samples of a batch meet, of those that a process holds at once.

    Attributes:
        weight: its coefficient in the sum.
    """

    weight: float

    def __call__(self, step: Step) -> ObjectiveValue:
        """The loss of every sample, or of the batch, unweighted.

        Args:
            step: question and answer, the batch, and the network to ask again.
        """
        ...


@runtime_checkable
class Teacher(Protocol):
    """A frozen vision encoder that tokens are aligned with.

    Its config has a ``name`` besides, known before anything is loaded, and ``check_stored(stored)``, which
    raises DataError if stored features are not what it would see.

    Attributes:
        name: under which its features are stored.
        identity: what it is and which weights it has.
        width: F, of its patch tokens.
    """

    name: str
    identity: Mapping[str, Any]
    width: int

    def __call__(
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
class Planner(Protocol):
    """Decides what the network is asked in a training step."""

    def __call__(
        self,
        batch: Batch,
        noise: Float[Tensor, "N *shape"],
        generator: torch.Generator,
        interpolant: Interpolant,
    ) -> Plan:
        """The batch at drawn times, along with the noise, or with it in another order.

        Args:
            batch: clean samples, and what they are conditioned on.
            noise: N(0, I) draws of the samples' shape, on their device, one for each.
            generator: of everything else that is drawn, such as times; on the CPU.
            interpolant: the path from data to noise. ``Plan.at`` makes a plan of samples, noise and times.
        """
        ...


@runtime_checkable
class TimeSampler(Protocol):
    """The distribution of training times."""

    def __call__(
        self, count: int, generator: torch.Generator, interpolant: Interpolant
    ) -> Float[Tensor, " N"]:
        """``count`` times in [0, 1]."""
        ...


@runtime_checkable
class Sampler(Protocol):
    """Carries noise to data along a velocity field."""

    def __call__(
        self,
        velocity: VelocityField,
        x_1: Float[Tensor, "N *shape"],
        increments: Increments,
        interpolant: Interpolant,
    ) -> Float[Tensor, "N *shape"]:
        """From x_1 at t = 1 to x_0 at t = 0.

        A sample may not depend on its neighbours in the batch, and x has any shape (N, ...). ``increments``
        is for stochastic samplers, the interpolant for those that need a score; a sampler that gives both
        a default can be called with field and noise alone.
        """
        ...


@runtime_checkable
class Guidance(Protocol):
    """Turns a conditional field into another one, so that several compose, from the network outwards.

    It may state ``identity``, plain values on which it depends beside its config, such as the SHA-256 of
    weights: they are written down with what is drawn.
    """

    def __call__(self, field: ConditionalField) -> ConditionalField:
        """The guided field. A function of the query is one: what a field offers besides is passed on.

        Raises:
            ConfigError: the field does not offer what this guidance needs of it.
        """
        ...


@runtime_checkable
class Split(Protocol):
    """One part of a data set, addressed by index.

    A split may offer two things besides: ``blocks``, the sizes of the shards in which its samples lie one
    after another, so that training reads few of them at a time (:mod:`thalweg.data.order`); and
    ``upcoming(indices)``, which is told early of samples that will be read, and returns at once.
    """

    def __len__(self) -> int:
        """Number of samples."""
        ...

    def batch(self, indices: Sequence[int], generator: torch.Generator) -> Batch:
        """The samples at these indices, in this order.

        ``generator`` is for what is drawn at each read, such as a latent from its posterior.
        """
        ...


@runtime_checkable
class View(Protocol):
    """How samples look."""

    def images(self, x: Float[Tensor, "N *shape"]) -> UInt8[Tensor, "N channels height width"] | None:
        """Samples as images 0..255 of 1 or 3 channels; None where the data are no images."""
        ...


@runtime_checkable
class Dataset(Protocol):
    """Where clean samples come from.

    Its config may offer ``view()``, a :class:`View` that opens none of the data, or no more than it needs:
    samples of a network are then shown without the data that it was trained on. One that stores encoded
    captions may offer ``text_identity`` in the same way.

    One whose samples have a border that ``images`` cuts off may offer ``frames`` besides, which keeps it:
    what teachers look at, so that their patches lie on the network's. ``contents``, those of each of its
    sources by name, lets a run name what has changed; ``class_names`` and ``captioned`` are shown before it
    begins.

    Attributes:
        identity: what the data are, without secrets: equal for equal samples, labels and captions in the
            same order and with the same ones held out, wherever they lie, and another if any of it is. It
            is recorded with a run, which goes on with no other data.
        facts: shape and classes.
        train: what is trained on.
        validation: what the validation loss is measured on; never trained on.
    """

    identity: str
    facts: Facts
    train: Split
    validation: Split

    def images(self, x: Float[Tensor, "N *shape"]) -> UInt8[Tensor, "N channels height width"] | None:
        """Samples as images 0..255 of 1 or 3 channels; None where the data are no images."""
        ...


@attrs.frozen(eq=False)
class Record:
    """One image of a source.

    Attributes:
        key: its name within the source, such as ``n01440764/x.jpg``; unique.
        image: height x width x channels, 0..255, of 1 (grey) or 3 (RGB) channels.
        label: its class; None where the source knows none.
        captions: what is said of it; empty where nothing is.
    """

    key: str
    image: UInt8[np.ndarray, "height width channels"]
    label: int | None = None
    captions: tuple[str, ...] = ()


@runtime_checkable
class Source(Protocol):
    """Images as they lie somewhere: folders, tar files, idx files; read by index in a fixed order.

    One that knows all classes without reading an image may offer ``labels``, a list of them in order; one
    with captions may offer ``captions(index)``, which reads them without the image. ``attribution`` says whom
    to name for the images, and ``held_out`` names what was kept back to be tested on; listings and shards
    state both. ``contents``, made by :func:`thalweg.data.contents.contents_of`, says what it holds, so that
    a difference can be named. ``passed_over`` counts what lies there and is not read, by the reason why;
    listings state it.

    Attributes:
        classes: number of classes; None where images bear no labels.
        class_names: their names in the order of labels; empty where they have none.
        captioned: whether records bear captions; single ones may have none.
        identity: what the source is, without secrets, ``TYPE:`` and a hash: equal for equal contents wherever
            they lie, and another if the images, their order, labels, class names or captions are. Nothing
            of it should take reading all images.
    """

    classes: int | None
    class_names: tuple[str, ...]
    captioned: bool
    identity: str

    def __len__(self) -> int:
        """Number of images."""
        ...

    def __getitem__(self, index: int) -> Record:
        """One image; safe to call from several threads at once.

        Raises:
            DataError: naming the file, if it is damaged, no image, or beyond the limit of pixels.
        """
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


@runtime_checkable
class Extractor(Protocol):
    """Sees features in images. A ``torch.nn.Module`` or anything like it.

    Attributes:
        name: what the features are called beside a number made from them.
        labels_known: whether its logits stand for the data set's own classes.
        reads_captions: whether it takes the images' captions too.
        identity: whatever decides the features, as passports and caches record it: ``type``, the weights'
            SHA-256, the rule by which images are resized and to which size, the precision.
    """

    name: str
    labels_known: bool
    reads_captions: bool
    identity: Mapping[str, Any]

    def __call__(
        self,
        images: UInt8[Tensor, "N channels height width"],
        captions: Sequence[str] | None = None,
    ) -> Features:
        """Features of images 0..255 of 1 or 3 channels, in float32 on the CPU.

        ``captions`` are handed over only to one that reads them.
        """
        ...

    def number_name(self, number: str) -> str:
        """What a metric's number is called in these features, such as ``fid`` for ``frechet_distance``.

        Numbers in the features of different networks bear different names.
        """
        ...


@runtime_checkable
class Statistic(Protocol):
    """Accumulates what metrics need of the features of one side, samples or reference.

    Cut into batches and spread over processes however one likes, it comes to the same.
    """

    def update(self, features: Features, labels: Int[Tensor, " N"] | None, indices: Sequence[int]) -> None:
        """Take a batch.

        Args:
            features: of the batch.
            labels: the class of each image, or that it was drawn for; None where there are none.
            indices: the place of each image in the whole set.
        """
        ...

    def merge(self, other: Any) -> None:
        """Take all that another one has seen, as if it had come here."""
        ...

    def state(self) -> Mapping[str, Tensor]:
        """All it knows, as tensors on the CPU: to be stored, or sent to another process."""
        ...

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Become what :meth:`state` was taken of."""
        ...


Better = Literal["higher", "lower"] | None
"""Which way a number is better; None where nobody can tell."""


@runtime_checkable
class Metric(Protocol):
    """One or several numbers about samples.

    It says which statistics it needs by key, such as ``moments:pooled``; metrics that share an extractor
    share statistics of equal keys, so these must come to the same.

    Attributes:
        name: its name, such as ``frechet_distance``.
        better: which way its numbers are better, ``higher`` or ``lower``; None where nobody can tell, and
            they are not ranked. Numbers with ``_std`` in their names never are.

    One whose numbers need more than its statistics has ``check(samples, reference)`` as well. It is called
    before the first image is seen, and again once the reference was, and raises a ``ThalwegError`` if a
    package is missing or both sides do not go together. ``samples`` are its statistics of two stand-ins for
    samples, ``reference`` those of the reference that are at hand: before it was seen, perhaps none.
    """

    name: str
    better: Better

    def statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """What it needs of ``count`` samples: a maker of the empty statistic for each key."""
        ...

    def reference_statistics(self, count: int) -> Mapping[str, Callable[[], Statistic]]:
        """What it needs of ``count`` real images; empty if it does without a reference."""
        ...

    def __call__(
        self, samples: Mapping[str, Statistic], reference: Mapping[str, Statistic]
    ) -> Mapping[str, float]:
        """Its numbers by name, from the statistics asked for, all images taken."""
        ...


@runtime_checkable
class Logger(Protocol):
    """Follows the numbers of a run beside metrics.jsonl.

    It may have ``sync()`` as well, which is called at each checkpoint: make what was taken outlive a power
    cut.
    """

    def log(self, step: int, numbers: Mapping[str, float]) -> None:
        """Take the numbers of one step."""
        ...

    def image(self, step: int, name: str, path: Path) -> None:
        """Take a picture that was written."""
        ...

    def close(self) -> None:
        """Flush and let go."""
        ...


@runtime_checkable
class Importer(Protocol):
    """Reads a released checkpoint's tensors as a network of ours."""

    def __call__(self, state_dict: Mapping[str, Tensor], told: Told) -> "Imported":
        """Work out the composition and rename the tensors.

        Nothing is guessed and nothing told is passed over: :class:`thalweg.told.Settling` sees to both.

        Args:
            state_dict: the tensors under their public names.
            told: what options and the file's own arguments tell beside them.

        Raises:
            DataError: the tensors are of another source, or of a network that cannot be represented.
            ConfigError: something has to be told and is not, or is of no use.
        """
        ...


class Imported(Protocol):
    """What an importer found; it may be frozen."""

    @property
    def composition(self) -> Mapping[str, Any]:
        """Backbone, refiner, branches and interpolant, as :func:`thalweg.compose` takes them."""
        ...

    @property
    def facts(self) -> Facts:
        """Shape and classes."""
        ...

    @property
    def state_dict(self) -> Mapping[str, Tensor]:
        """The tensors under our names."""
        ...

    @property
    def settled(self) -> Mapping[str, Settled]:
        """What the tensors alone do not tell, with what told it: :attr:`thalweg.told.Settling.found`."""
        ...


@runtime_checkable
class Optimizer(Protocol):
    """Makes the optimiser of a run.

    Whatever is derived from ``torch.optim.Optimizer`` is saved and resumed, be its state tensors or numbers,
    and so are numbers of its parameter groups that change; each group must have its ``lr``, which the
    schedule sets. One may state ``state_per_weight``, the numbers of state that it keeps for each weight, by
    which memory is estimated; without it 2 are counted.
    """

    def __call__(self, parameters: Mapping[str, nn.Parameter], fused: bool) -> torch.optim.Optimizer:
        """An optimiser over these.

        Args:
            parameters: those that are trained, by name, such as
                ``network.backbone.blocks.0.mlp.layers.0.weight``; DTensors where FSDP2 shards them.
            fused: whether fused kernels may be used; not where they would unscale gradients of float16.
        """
        ...


@runtime_checkable
class RateSchedule(Protocol):
    """The learning rate over a run.

    Attributes:
        of_length: whether it depends on the run's length; ``training.steps`` cannot change then when the run
            goes on.
    """

    of_length: bool

    def __call__(self, step: int, total: int) -> float:
        """What the learning rate of every group is multiplied with, at least 0.

        It must depend on its arguments alone, so that a run that goes on goes on exactly.

        Args:
            step: counted from 0.
            total: steps of the run.
        """
        ...


@runtime_checkable
class Averages(Protocol):
    """Averages of one network's weights; :class:`thalweg.averages.moving.MovingAverages` is one.

    Attributes:
        names: of the averages; the first is the main one, which samples are drawn with. They name files:
            letters, digits, dots, underscores and dashes.
    """

    names: tuple[str, ...]

    def update(self, step: int) -> None:
        """Take in the weights as they are after ``step``, counted from 0."""
        ...

    def applied(self, name: str) -> AbstractContextManager[None]:
        """Inside, the network computes with an average; afterwards it has its weights again, to the bit.

        Weights are to be exchanged by value and through ``.data``: compiled code and wrappers keep hold of
        where they lie, and objectives ask the averaged network while a graph of the trained one is held.
        """
        ...

    def state_dict(self, name: str) -> Mapping[str, Tensor]:
        """The network's state with an average in place of its weights. Its tensors are the average's own."""
        ...

    def load_state_dict(self, state: Mapping[str, Tensor], name: str) -> None:
        """Take an average from such a state."""
        ...


@runtime_checkable
class Average(Protocol):
    """How weights are averaged over training.

    One may offer two things besides: ``described(steps)``, over what a run of so many steps averages, in a
    few words; and ``warning(steps)``, what is wrong with that, or None.

    Attributes:
        names: of the averages, as :class:`Averages` has them.
    """

    names: tuple[str, ...]

    def __call__(self, network: nn.Module) -> Averages:
        """The averages of a network, placed on its device and sharded if it is to be."""
        ...


class Component(Protocol):
    """A config class: what is registered."""

    def build(self, facts: Facts) -> Any:
        """Build the component."""
        ...
