"""What an evaluation is made under: the content of a protocol (no torch here)."""

from typing import Any, Literal

import attrs
from attrs.validators import ge, min_len, optional

from thalweg.config import component_field, component_list, component_table
from thalweg.errors import ConfigError
from thalweg.facts import LONGEST_SIDE
from thalweg.integers import AT_ONCE, SAMPLES, SEED, Integers

CAPTIONING = ("prompts", "captions", "text")
"""The fields of drawing that only networks that read captions look at."""

PARTS = ("validation", "train")

_AT_LEAST_TWO: Any = optional(Integers(2, SAMPLES.high))


def _words(_: object, __: object, prompts: tuple[str, ...]) -> None:
    for number, prompt in enumerate(prompts, start=1):
        if not prompt.strip():
            raise ValueError(
                f"prompt {number} of {len(prompts)} is empty; say what is to be seen, or omit it"
            )


@attrs.frozen
class DrawingConfig:
    """How samples are drawn where the subject is a network.

    Attributes:
        sampler: what carries noise to data.
        guidance: what guides the network: none, one, or a list from the network outwards.
        labels: ``balanced`` takes the classes in turn, ``random`` draws each from (seed, index).
        seed: of noise and labels.
        precision: of the network's evaluations; what ``auto`` came to is in the passport.
        prompts: of networks that read captions, those to draw for: sample i the i-th, from the start again
            after the last.
        captions: where captions are from without prompts: ``validation`` or ``train``, that part of the
            run's data set; or a file, ``.json`` as MS-COCO has them, of which the first of each image is
            taken, or a text of one a line.
        text: the encoder that reads prompts and files; none for that of the run's data set.
    """

    sampler: Any = component_field("sampler", "euler_maruyama")
    guidance: Any = component_list("guidance")
    labels: Literal["balanced", "random"] = "balanced"
    seed: int = attrs.field(default=0, validator=SEED)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "32-true"
    prompts: tuple[str, ...] = attrs.field(default=(), validator=_words)
    captions: str = attrs.field(default="validation", validator=min_len(1))
    text: Any = component_field("text_encoder", None, optional=True)


@attrs.frozen(kw_only=True)
class SamplesConfig(DrawingConfig):
    """What ``thalweg sample`` draws.

    Attributes:
        count: how many.
        batch_size: at a time; they do not depend on it.
        autoencoder: turns latents into images, where images are asked for.
    """

    count: int = attrs.field(default=64, validator=SAMPLES)
    batch_size: int = attrs.field(default=64, validator=AT_ONCE)
    precision: Literal["auto", "32-true", "bf16-mixed"] = "auto"
    autoencoder: Any = component_field("autoencoder", None, optional=True)

    @property
    def drawing(self) -> DrawingConfig:
        """How they are drawn, without how many."""
        return DrawingConfig(
            self.sampler,
            self.guidance,
            self.labels,
            self.seed,
            self.precision,
            self.prompts,
            self.captions,
            self.text,
        )


@attrs.frozen
class ReferenceConfig:
    """What samples are compared with.

    Attributes:
        set: ``train`` or ``validation`` of the subject's own data set, where no reference is named;
            none asks for one by name.
        count: how many of its images, the first ones; none for all.
        moments: ``computed`` from images, or ``stored`` in the file as ADM's reference batches have them.
        description: what is meant to be given, in words.
    """

    set: Literal["train", "validation"] | None = None
    count: int | None = attrs.field(default=None, validator=_AT_LEAST_TWO)
    moments: Literal["computed", "stored"] = "computed"
    description: str = ""


@attrs.frozen
class JudgeConfig:
    """An extractor and the metrics that read its features.

    Attributes:
        extractor: what sees the features.
        metrics: by name.
    """

    extractor: Any = component_field("extractor")
    metrics: dict[str, Any] = component_table("metric", required=True)


@attrs.frozen(kw_only=True)
class EvaluationConfig:
    """A protocol: all that two numbers must agree on to be comparable, apart from the reference's images.

    Attributes:
        name: what it is called.
        version: raised with every change.
        description: what it is, in words.
        count: samples judged, the first ones; none for all that there are.
        crop: edge to which images of folders and tars are reduced and cropped as ADM does; none takes them
            as they are.
        sampling: how samples are drawn.
        autoencoder: between latents and images, for networks of latents.
        reference: what samples are compared with.
        judges: extractors with their metrics, by name.
    """

    name: str = attrs.field(default="custom", validator=min_len(1))
    version: int = attrs.field(default=1, validator=ge(1))
    description: str = ""
    count: int | None = attrs.field(default=None, validator=_AT_LEAST_TWO)
    crop: int | None = attrs.field(default=None, validator=optional(Integers(1, LONGEST_SIDE)))
    sampling: DrawingConfig = attrs.field(factory=DrawingConfig)
    autoencoder: Any = component_field("autoencoder", None, optional=True)
    reference: ReferenceConfig = attrs.field(factory=ReferenceConfig)
    judges: dict[str, JudgeConfig] = attrs.field(factory=dict)

    @judges.validator
    def _any(self, _: object, judges: dict[str, JudgeConfig]) -> None:
        if not judges:
            raise ConfigError("there is nothing to compute: name at least one metric, such as --metrics fid")
