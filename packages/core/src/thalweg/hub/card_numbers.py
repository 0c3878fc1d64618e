"""The numbers of passports in a card: with the names and under the conditions that passports state."""

from collections.abc import Mapping
from typing import Any

from thalweg.hub.tables import rows_of, table, words
from thalweg.passport import Passport

_SAMPLING = ("sampler", "guidance", "seed", "labels", "classes", "precision", "captions", "autoencoder")


def numbers(passports: Mapping[str, Passport]) -> list[str]:
    """A section for each passport, in Markdown."""
    lines: list[str] = []
    for name, passport in passports.items():
        values = [
            (f"`{number}`", f"{one['value']:.6g}", _better(one), str(one.get("extractor", "")))
            for number, one in passport.numbers.items()
        ]
        lines += [
            f"### {protocol_of(passport)}",
            "",
            table(("number", "value", "better", "features of"), values),
            "",
            table(("condition", ""), rows_of(conditions_of(passport))),
            "",
            f"Made {passport.made} by {software_of(passport)}. All of it: [{name}]({name}).",
            "",
        ]
    return lines


def protocol_of(passport: Passport) -> str:
    """Name and version of the protocol, and that it was changed."""
    stated = passport.protocol
    changed = " with changes" if stated.get("changed") else ""
    return f"Protocol {stated.get('name')}, version {stated.get('version')}{changed}"


def conditions_of(passport: Passport) -> dict[str, str]:
    """What a number means nothing without: how samples were generated, how many, and of what real images."""
    conditions = passport.conditions
    sampling = conditions.get("sampling")
    found = {"samples": words(conditions.get("count"))}
    if isinstance(sampling, Mapping):
        found |= {name: words(sampling[name]) for name in _SAMPLING if name in sampling}
    else:
        found["sampling"] = words(sampling)
    if passport.subject.get("nfe") is not None:
        found["NFE of a sample"] = f"{passport.subject['nfe']:.6g}"
    found["crop"] = words(conditions.get("crop"))
    found["reference"] = words(conditions.get("reference"))
    if passport.protocol.get("changed"):
        found["changed in the protocol"] = words(list(passport.protocol["changed"]))
    return found


def software_of(passport: Passport) -> str:
    """Versions of what computed the numbers."""
    stated = passport.software
    versions = {**stated.get("plugins", {}), **stated.get("packages", {}), "Python": stated.get("python")}
    files = [f"{name} (SHA-256 {sha256})" for name, sha256 in stated.get("files", {}).items()]
    return ", ".join([*(f"{name} {version}" for name, version in versions.items()), *files])


def reference_of(passport: Passport) -> str:
    """What the samples were compared with, as short as it can be named."""
    stated: Any = passport.conditions.get("reference")
    images = stated.get("images", stated) if isinstance(stated, Mapping) else {}
    data = images.get("data") if isinstance(images, Mapping) else None
    if isinstance(data, Mapping) and "type" in data:
        return str(data["type"])
    return words(stated)[:80]


def _better(number: Mapping[str, Any]) -> str:
    return str(number.get("better") or "")
