"""The settings of samples: how they are generated, and what ``thalweg sample`` generates (no torch here)."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import attrs
from attrs.validators import min_len

from thalweg.config import FaultyConfigError, SamplingConfig, component_field, structure
from thalweg.config.run import BaseSamplingConfig, SamplingPrecision
from thalweg.inherited import COMPONENTS, DEFAULT, FOR_SAMPLES, PROMPTS, Inherited, merged

LabelRule = Literal["balanced", "random"]

CAPTIONING = ("prompts", "captions", "text")
"""The settings that only networks that read captions look at."""

PARTS = ("validation", "train")

_INHERITED = [(key,) for key in COMPONENTS]


def _words(_: object, __: object, prompts: tuple[str, ...]) -> None:
    for number, prompt in enumerate(prompts, start=1):
        if not prompt.strip():
            raise ValueError(
                f"prompt {number} of {len(prompts)} is empty; say what is to be seen, or omit it"
            )


@attrs.frozen(slots=False)
class GenerationConfig(BaseSamplingConfig):
    """How samples of a network are generated: the ``sampling`` of a protocol.

    Attributes:
        labels: ``balanced`` takes the classes in turn, sample i of class i mod classes; ``random`` takes each
            from (seed, index), uniform and independent.
        precision: of the network's evaluations; what ``auto`` came to is in the passport.
        prompts: of networks that read captions, those to generate for: sample i the i-th, from the start
            again after the last.
        captions: where captions are from without prompts: ``validation`` or ``train``, that part of the
            run's data set; or a file, ``.json`` as MS-COCO has them, of which the first of each image is
            taken, or a text of one a line.
        text: the encoder that reads prompts and files; none for that of the run's data set.
    """

    labels: LabelRule = "balanced"
    precision: SamplingPrecision = "32-true"
    prompts: tuple[str, ...] = attrs.field(default=(), validator=_words)
    captions: str = attrs.field(default="validation", validator=min_len(1))
    text: Any = component_field("text_encoder", None, optional=True)


@attrs.frozen(kw_only=True, slots=False)
class SamplesConfig(SamplingConfig, GenerationConfig):
    """What ``thalweg sample`` generates: how, and how many.

    Attributes:
        autoencoder: turns latents into images, where images are requested.
    """

    precision: SamplingPrecision = "auto"
    autoencoder: Any = component_field("autoencoder", None, optional=True)

    @property
    def generation(self) -> GenerationConfig:
        """How they are generated, without how many."""
        return GenerationConfig(**{key: getattr(self, key) for key in attrs.fields_dict(GenerationConfig)})


@attrs.frozen
class SampleSettings:
    """What is to be generated.

    Attributes:
        config: all settings.
        origins: where those that may be inherited are from.
    """

    config: SamplesConfig
    origins: Mapping[str, str]


def sample_settings(
    stated: Mapping[str, Any],
    overrides: Iterable[str] = (),
    inherited: Callable[[], Inherited] = Inherited,
) -> SampleSettings:
    """All settings.

    Args:
        stated: fields of :class:`SamplesConfig` in plain values.
        overrides: ``key.path=value``, on top of these and of inherited ones.
        inherited: gives those; called only if something is not stated.

    Raises:
        FaultyConfigError: all that is wrong, at once.
        PluginError: a component cannot be imported.
    """
    found = merged(stated, overrides, SamplesConfig, FOR_SAMPLES, inherited)
    data, origins = dict(found.data), dict(found.origins)
    if data.get("prompts") and origins["count"] in ("run", "network", DEFAULT):
        data["count"], origins["count"] = len(data["prompts"]), PROMPTS
    try:
        return SampleSettings(structure(SamplesConfig, data), origins)
    except FaultyConfigError as faults:
        raise found.explained(faults) from None


def check_sample_settings(stated: Mapping[str, Any], overrides: Iterable[str] = ()) -> None:
    """Find faults before the network is at hand: all but those of sampler and guidance, which may be
    inherited.

    Raises:
        FaultyConfigError: as :func:`sample_settings`.
        PluginError: a component cannot be imported.
    """
    try:
        sample_settings(stated, overrides)
    except FaultyConfigError as faults:
        others = [problem for problem in faults.problems if problem.path[:1] not in _INHERITED]
        if others:
            raise FaultyConfigError(others, faults.source) from None
