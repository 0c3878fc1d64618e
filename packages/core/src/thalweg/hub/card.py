"""The card of a network: README.md of its repository, written from what it and its passports say."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import attrs

from thalweg.composition import compose
from thalweg.errors import ThalwegError
from thalweg.facts import Facts
from thalweg.hub.card_numbers import conditions_of, numbers, protocol_of, reference_of
from thalweg.hub.content import Content
from thalweg.hub.tables import table, words
from thalweg.objects import OBJECT, is_object
from thalweg.plugins import registry
from thalweg.saved_network import facts_of
from thalweg.storage.hub.address import SCHEME, hub_address

_SIZES = ("patch", "width", "depth", "heads")
_CORE = "thalweg-core"


@attrs.frozen
class _Network:
    """What a card says of a network."""

    title: str
    url: str
    content: Content
    facts: Facts
    parameters: int | None

    @property
    def composition(self) -> Mapping[str, Any]:
        return dict(self.content.description["composition"])

    @property
    def data(self) -> Mapping[str, Any]:
        found = self.content.config.get("data")
        return found if isinstance(found, dict) else {}

    @property
    def made_in_python(self) -> list[str]:
        return [str(one[OBJECT]) for one in self.composition.values() if is_object(one)]

    @property
    def packages(self) -> list[str]:
        """The distributions that bring its parts."""
        found = {_CORE: None}
        for kind in ("backbone", "refiner", "interpolant"):
            stated = self.composition.get(kind)
            name = stated.get("type") if isinstance(stated, Mapping) else stated
            component = registry().component(kind, str(name))
            if component is not None and component.origin.distribution:
                found[component.origin.distribution] = None
        return list(found)


def card(content: Content, url: str, license: str | None = None) -> str:
    """The card, in Markdown with its front matter.

    Args:
        content: what is sent.
        url: of the repository, as ``hf://owner/name@branch``.
        license: under which it is published; nothing is said of it where none is stated.

    Raises:
        DataError: the network's description is damaged.
    """
    name = hub_address(url).name
    facts = facts_of(content.description["facts"])
    short = url.removesuffix("@main")
    network = _Network(name.partition("/")[2], short, content, facts, _parameters(content, facts))
    parts = [*_head(network), *_use(network), *_numbers(network), *_versions(network)]
    return f"---\n{_front_matter(network, license)}---\n\n" + "\n".join(parts).rstrip() + "\n"


def _parameters(content: Content, facts: Facts) -> int | None:
    """Those of the network, built where nothing is allocated; None of one that no file can build."""
    try:
        built = compose(**content.description["composition"], facts=facts, device="meta")
    except (ThalwegError, TypeError):
        return None
    return sum(one.numel() for one in built.parameters())


def _head(network: _Network) -> list[str]:
    run = network.content.description.get("run")
    run = run if isinstance(run, Mapping) else {}
    config, facts = network.content.config, network.facts
    stated = config.get("training")
    training: Mapping[str, Any] = stated if isinstance(stated, Mapping) else {}
    shape = " x ".join(map(str, facts.shape))
    reads = f", {facts.classes} classes" if facts.classes is not None else ""
    reads += f", captions of {facts.text[0]} x {facts.text[1]}" if facts.text is not None else ""
    found = {
        **{kind: _part(network.composition.get(kind)) for kind in ("backbone", "refiner")},
        "branches": words(network.composition.get("branches", 1)),
        "intermediate heads after": words(network.composition.get("heads") or "none"),
        "path": words(network.composition.get("interpolant", "linear")),
        "read-outs give": words(network.composition.get("prediction", "velocity")),
        "parameters": "" if network.parameters is None else f"{network.parameters:,}",
        "a sample": f"{shape}{reads}",
        "data set of its run": _data(network.data),
        "training steps": words(run.get("step", "")),
        "batch": words(training.get("batch_size", "")),
        "average of the weights": _weights(run, training),
        "SHA-256 of the tensors": str(network.content.description.get("sha256")),
    }
    rows = [(what, said) for what, said in found.items() if said]
    whole = ", its run's configuration in [config.toml](config.toml)" if config else ""
    return [
        f"# {network.title}",
        "",
        "A flow-based generative model, composed with Thalweg. Its composition is recorded in "
        f"[model.json](model.json){whole}.",
        "",
        table(("", ""), rows),
        "",
    ]


def _part(stated: Any) -> str:
    if not isinstance(stated, Mapping):
        return words(stated)
    if is_object(stated):
        return f"{stated[OBJECT]}, made in Python"
    sizes = {key: stated[key] for key in ("size", *_SIZES) if stated.get(key) not in (None, "none")}
    return words({"type": stated.get("type"), **sizes})


def _data(data: Mapping[str, Any]) -> str:
    where = next((str(data[key]) for key in ("url", "path") if isinstance(data.get(key), str)), "")
    source = data.get("source")
    inner = f" of {words(source.get('type'))}" if isinstance(source, Mapping) else ""
    return f"{data.get('type', '')}{inner}{f', {where}' if where else ''}"


def _weights(run: Mapping[str, Any], training: Mapping[str, Any]) -> str:
    average = training.get("average")
    kind = average.get("type") if isinstance(average, Mapping) else average
    return f"{kind} {run['average']}" if run.get("average") and kind else ""


def _use(network: _Network) -> list[str]:
    install = "pip install " + " ".join(
        f"'{name}[hub]'" if name == _CORE else name for name in network.packages
    )
    folder = f"samples/{network.title}"
    lines = ["## Use", ""]
    made = network.made_in_python
    if made:
        return [
            *lines,
            f"Parts of it were made in Python ({', '.join(made)}), which no file can make again: build the "
            f"network, and give it to `thalweg.load({network.url!r}, network=...)`.",
            "",
            f"```sh\n{install}\n```",
            "",
        ]
    call = "indices=range(4)"
    if network.facts.classes is not None:
        call += f", labels=[{', '.join(str(one % network.facts.classes) for one in range(4))}]"
    python = [
        "import thalweg",
        "",
        f'network = thalweg.load("{network.url}")',
        f"samples = thalweg.sample(network, {call})",
    ]
    if network.facts.text is not None:  # whose encoder the command finds by the run
        python = python[:3]
    return [
        *lines,
        f"```sh\n{install}\nthalweg sample {network.url} {folder} count=4\n```",
        "",
        "```python\n" + "\n".join(python) + "\n```",
        "",
    ]


def _numbers(network: _Network) -> list[str]:
    passports = network.content.passports
    if not passports:
        return ["## Numbers", "", "None: no evaluation of these weights was pushed with them.", ""]
    return [
        "## Numbers",
        "",
        "`thalweg evaluate` computed them, under the conditions below; numbers of other conditions, or in "
        "other features, are not comparable.",
        "",
        *numbers(passports),
    ]


def _versions(network: _Network) -> list[str]:
    names = dict.fromkeys([*network.packages, "torch"])
    return ["## Versions", "", f"Pushed by {', '.join(f'{one} {version(one)}' for one in names)}.", ""]


def _front_matter(network: _Network, license: str | None) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    task = _task(network.facts)
    results = [
        EvalResult(
            task_type=task,
            dataset_type=reference_of(one),
            dataset_name=reference_of(one),
            metric_type=name,
            metric_name=f"{name} ({number.get('extractor')}; {protocol_of(one)}; {file})",
            metric_value=number["value"],
            metric_args={key: said for key, said in conditions_of(one).items() if key in _STATED},
        )
        for file, one in network.content.passports.items()
        for name, number in one.numbers.items()
        if number.get("better")  # others are no measure of quality
    ]
    data = ModelCardData(
        model_name=network.title,
        library_name="thalweg",
        license=license,
        pipeline_tag=task if task in _PIPELINES else None,
        tags=["thalweg", "flow-matching", *_tags(network)],
        datasets=_datasets(network.data) or None,
        metrics=list(dict.fromkeys(one.metric_type for one in results)) or None,
        eval_results=results or None,
    )
    return f"{data.to_yaml()}\n"


_STATED = ("samples", "sampler", "guidance", "NFE of a sample")
"""Conditions that stand with a number in the front matter; all of them stand below."""

_PIPELINES = ("text-to-image", "unconditional-image-generation")


def _task(facts: Facts) -> str:
    if len(facts.shape) != 3:
        return "sample-generation"
    if facts.text is not None:
        return "text-to-image"
    return "unconditional-image-generation" if facts.classes is None else "class-conditional-image-generation"


def _tags(network: _Network) -> Iterable[str]:
    for kind in ("backbone", "refiner"):
        stated = network.composition.get(kind)
        if isinstance(stated, Mapping) and isinstance(stated.get("type"), str):
            yield stated["type"]


def _datasets(data: Mapping[str, Any]) -> list[str]:
    """The data sets of the Hub that a run was trained on."""
    return [hub_address(url).name for url in _urls(data) if url.startswith(f"{SCHEME}datasets/")]


def _urls(value: Any) -> Iterable[str]:
    if isinstance(value, Mapping):
        for one in value.values():
            yield from _urls(one)
    elif isinstance(value, str):
        yield value
