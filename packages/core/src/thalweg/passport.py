"""Passports: the provenance of numbers, as JSON that travels with them (no torch here)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from thalweg.documents import parse_document, states_format, write_document
from thalweg.errors import DataError
from thalweg.storage.places import read_place

_FORMAT, _VERSION = "thalweg-passport", 1
_LARGEST = 64 * 2**20  # bytes


@attrs.frozen(kw_only=True)
class Passport:
    """The result of an evaluation.

    Attributes:
        numbers: of each number, by name: ``value``, ``metric``, ``features`` (whose, as the protocol calls
            them), ``extractor`` (that computed them) and ``better`` (``higher``, ``lower`` or None where
            neither is).
        conditions: all that two passports must agree on for their numbers to be comparable.
        subject: what was evaluated: path, identity, checkpoint's SHA-256 and step, number and shape of
            images; of a network also ``nfe``, its evaluations for each sample.
        protocol: name, version, SHA-256 of its text, what was changed, and of a network under ``sampling``
            where its sampler, guidance and seed were stated.
        software: versions of Python, packages and plugins.
        machine: device, processes, threads, and what it took in seconds.
        made: when, in ISO 8601.
    """

    numbers: Mapping[str, Mapping[str, Any]]
    conditions: Mapping[str, Any]
    subject: Mapping[str, Any]
    protocol: Mapping[str, Any]
    software: Mapping[str, Any]
    machine: Mapping[str, Any]
    made: str

    def __getitem__(self, name: str) -> float:
        """A number by its name."""
        return float(self.numbers[name]["value"])

    @property
    def values(self) -> dict[str, float]:
        """All numbers by name."""
        return {name: self[name] for name in self.numbers}

    def plain(self) -> dict[str, Any]:
        """As JSON."""
        return {"format": _FORMAT, "version": _VERSION, **attrs.asdict(self, recurse=False)}

    def write(self, path: Path) -> None:
        """Write it, without credentials and with a digest of itself; the file is there whole or not at all.

        Raises:
            ThalwegError: if it cannot be written, or a number is not finite.
        """
        write_document(path, self.plain(), sealed=True)


def is_passport(path: Path) -> bool:
    """Whether a JSON file says that it is one."""
    return states_format(path, _FORMAT, _LARGEST)


def read_passport(path: str | Path) -> Passport:
    """Read one, from a path or a URL.

    Raises:
        DataError: if it is missing, no passport, not as it was written, or newer than this version.
    """
    try:
        content = read_place(path, _LARGEST)
        data = parse_document(content)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist; 'thalweg evaluate --out' writes passports") from None
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); evaluate again") from error
    except ValueError as error:
        raise DataError(f"{path} is no passport ({error}); evaluate again") from error
    if data.get("format") != _FORMAT:
        raise DataError(f"{path} is no passport; 'thalweg evaluate --out' writes them")
    if data.get("version") != _VERSION:
        raise DataError(
            f"{path} has format version {data.get('version')}, this Thalweg reads {_VERSION}; evaluate again"
        )
    try:
        data = parse_document(content, sealed=True)
    except ValueError as error:
        raise DataError(f"{path} is damaged or was changed ({error}); evaluate again") from error
    fields = {field.name for field in attrs.fields(Passport)}
    try:
        passport = Passport(**{name: one for name, one in data.items() if name in fields})
        passport.values  # noqa: B018 - that all can be read
    except (TypeError, KeyError, ValueError, AttributeError) as error:
        raise DataError(f"{path} is damaged: {error}; evaluate again") from error
    return passport
