"""Protocols: named, versioned, frozen settings of evaluations, as TOML (no torch here).

Those that are shipped are in ``protocols/``. A change to one is another version of it in a new file.
"""

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import attrs
from attrs.validators import ge, min_len, optional

from thalweg.arguments import SAMPLES, Integers
from thalweg.config import FaultyConfigError, component_field, component_table, dump, read_toml, structure
from thalweg.errors import ConfigError
from thalweg.facts import LONGEST_SIDE
from thalweg.generation.settings import GenerationConfig
from thalweg.inherited import COMPONENTS, DEFAULT, FOR_EVALUATION, PROTOCOL, STATED, Inherited, merged
from thalweg.regular import LARGEST_DOCUMENT
from thalweg.storage.places import read_place
from thalweg.storage.redaction import redacted
from thalweg.suggestions import did_you_mean, known_words

_FOLDER = Path(__file__).parent / "protocols"
_AT_LEAST_TWO: Any = optional(Integers(2, SAMPLES.high))
_SAMPLING = "sampling"

_USUAL_EXTRACTOR = "inception"
_METRICS: Mapping[str, tuple[str, Any]] = {
    "fid": ("frechet_distance", "inception"),
    "sfid": ("spatial_frechet_distance", "inception"),
    "is": ("inception_score", "inception"),
    "precision": ("precision_recall", "inception"),
    "recall": ("precision_recall", "inception"),
    "fd_dinov2": ("frechet_distance", {"type": "dinov2", "size": "l"}),
    "fd_lite0": ("frechet_distance", "lite0"),
    "accuracy": ("accuracy", "small_classifier"),
    "clip_score": ("clip_score", "clip"),
    "geneval": ("geneval", "geneval"),
}
"""The metric and the extractor that a usual name stands for, and those of metrics that can have no other."""


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
class FeaturesConfig:
    """An extractor and the metrics of its features.

    Attributes:
        extractor: the vision encoder that computes the features.
        metrics: by name.
    """

    extractor: Any = component_field("vision_encoder")
    metrics: dict[str, Any] = component_table("metric", required=True)


@attrs.frozen(kw_only=True)
class EvaluationConfig:
    """A protocol: all that two numbers must agree on to be comparable, apart from the reference's images.

    Attributes:
        name: what it is called.
        version: raised with every change.
        description: what it is, in words.
        count: samples, the first ones; none for all that there are.
        crop: edge to which images of folders and tars are reduced and cropped as ADM does; none takes them
            as they are.
        sampling: how samples are generated.
        autoencoder: between latents and images, for networks of latents.
        reference: what samples are compared with.
        features: extractors with their metrics, by name.
    """

    name: str = attrs.field(default="custom", validator=min_len(1))
    version: int = attrs.field(default=1, validator=ge(1))
    description: str = ""
    count: int | None = attrs.field(default=None, validator=_AT_LEAST_TWO)
    crop: int | None = attrs.field(default=None, validator=optional(Integers(1, LONGEST_SIDE)))
    sampling: GenerationConfig = attrs.field(factory=GenerationConfig)
    autoencoder: Any = component_field("autoencoder", None, optional=True)
    reference: ReferenceConfig = attrs.field(factory=ReferenceConfig)
    features: dict[str, FeaturesConfig] = attrs.field(factory=dict)

    @features.validator
    def _any(self, _: object, features: dict[str, FeaturesConfig]) -> None:
        if not features:
            raise ConfigError("there is nothing to compute: name at least one metric, such as --metrics fid")


@attrs.frozen
class Protocol:
    """Settings and where they are from.

    Attributes:
        config: the settings, all of them.
        sha256: of the protocol's text; None where none was named.
        changed: what was overridden, as it was written but for credentials.
        origins: where sampler, guidance and seed are from: see :class:`thalweg.inherited.Merged`.
        counted: where the number of samples is from, in the same words.
    """

    config: EvaluationConfig
    sha256: str | None = None
    changed: tuple[str, ...] = ()
    origins: Mapping[str, str] = attrs.field(factory=dict)
    counted: str = DEFAULT


def names() -> list[str]:
    """The protocols that are shipped."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def features_for(metrics: Sequence[str | Mapping[str, Any]], extractor: Any = None) -> dict[str, Any]:
    """A protocol's ``features`` for these metrics, in plain values.

    Args:
        metrics: each a registered name, such as ``frechet_distance``; one with an extractor's name,
            ``frechet_distance@lite0``; a usual name, such as ``fid``; or a mapping with ``type``.
        extractor: a name or a mapping with ``type``, for metrics that name none; by default Inception, and
            its own for a metric that can have no other.
    """
    features: dict[str, Any] = {}
    for metric in metrics:
        options = {} if isinstance(metric, str) else dict(metric)
        written = metric if isinstance(metric, str) else str(options.pop("type", ""))
        name, at, named = written.partition("@")
        name, usual = _METRICS.get(name, (name, _USUAL_EXTRACTOR))
        found = named if at else usual if extractor is None else extractor
        found = {"type": found} if isinstance(found, str) else dict(found)
        table = features.setdefault(str(found.get("type", "")), {"extractor": found, "metrics": {}})
        table["metrics"][name] = options
    return features


def read_protocol(
    what: str | Path | None,
    overrides: Iterable[str] = (),
    features: Mapping[str, Any] | None = None,
    inherited: Callable[[], Inherited] = Inherited,
    sampling: Mapping[str, Any] | None = None,
) -> Protocol:
    """Settings of a protocol, or without one the defaults.

    A sampler, guidance or seed that the protocol does not state is the network's own.

    Args:
        what: a shipped one's name or a TOML file, by path or URL; None for none.
        overrides: ``key.path=value``, as for recipes.
        features: extractors and metrics instead of the protocol's.
        inherited: gives the settings that the network brings along; asked only for what is not stated.
        sampling: how samples are generated, each key as a whole instead of all that: a name, a table, a
        config or
            a part.

    Raises:
        ConfigError: if there is no such protocol, or settings are wrong: all faults at once.
        PluginError: if a component cannot be imported.
    """
    data: dict[str, Any] = {}
    digest = None
    if what is not None:
        path = _path(what)
        data, digest = read_toml(path), hashlib.sha256(read_place(path, LARGEST_DOCUMENT)).hexdigest()
        data.setdefault("name", Path(path).stem)
    if features is not None:
        data["features"] = dict(features)
    changed = [*overrides]
    origin = STATED if what is None else PROTOCOL
    found = merged(data, changed, EvaluationConfig, FOR_EVALUATION, inherited, table=_SAMPLING, origin=origin)
    if sampling:
        found = found.stating(sampling, _SAMPLING)
    try:
        config = structure(EvaluationConfig, found.data)
    except FaultyConfigError as faults:
        explained = found.explained(faults)
        raise FaultyConfigError(explained.problems, "" if what is None else str(what)) from None
    if features is not None and what is not None:
        changed.append("features")
    if sampling:
        changed += assignments(dump(config.sampling), sampling)
    stated = any(item.partition("=")[0].strip() == "count" for item in changed)
    counted = STATED if stated else PROTOCOL if "count" in data else DEFAULT
    return Protocol(config, digest, tuple(map(redacted, changed)), found.origins, counted)


def check_protocol(
    what: str | Path | None,
    overrides: Iterable[str],
    features: Mapping[str, Any] | None,
    sampling: Mapping[str, Any] | None,
) -> None:
    """Find faults before the network is at hand: all but those of sampler and guidance, which it may bring
    along.

    Raises:
        ConfigError: as :func:`read_protocol`, whose arguments it takes.
        PluginError: if a component cannot be imported.
    """
    try:
        read_protocol(what, overrides, features, sampling=sampling)
    except FaultyConfigError as faults:
        brought = [(_SAMPLING, key) for key in COMPONENTS]
        others = [problem for problem in faults.problems if problem.path[:2] not in brought]
        if others:
            raise FaultyConfigError(others, faults.source) from None


def assignments(stated: Mapping[str, Any], keys: Iterable[str]) -> tuple[str, ...]:
    """These keys of a sampling table in plain values as settings, ``sampling.key=value``."""
    # "none" is a word without quotes, as users write it.
    written = {key: "none" if stated[key] == "none" else _inline(stated[key]) for key in keys}
    return tuple(f"{_SAMPLING}.{key}={value}" for key, value in written.items())


def _inline(value: Any) -> str:
    """A plain value on one line; texts, numbers and truth values are written as in JSON."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(key)} = {_inline(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_inline, value)) + "]"
    return repr(value) if isinstance(value, float) else json.dumps(value, ensure_ascii=False)


def _path(what: str | Path) -> str | Path:
    if isinstance(what, Path) or what.endswith(".toml"):
        return what
    if what not in names():
        raise ConfigError(
            f"there is no protocol '{what}'{did_you_mean(what, names()) or known_words(names())}; a file of "
            "your own ends in .toml"
        )
    return _FOLDER / f"{what}.toml"
