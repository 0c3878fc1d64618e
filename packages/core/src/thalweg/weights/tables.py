"""All published weights that plugins know of, by name."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from thalweg.errors import ConfigError, PluginError
from thalweg.plugins import LoadedPlugin, Registry, registry
from thalweg.storage.redaction import register_public
from thalweg.suggestions import did_you_mean, one_line
from thalweg.weights.entry import WeightsEntry, read_table

_read: list[tuple[Sequence[LoadedPlugin], dict[str, WeightsEntry]]] = []


def entries() -> Mapping[str, WeightsEntry]:
    """Every entry by its name, sorted. What is wrong with a plugin's tables is reported as its fault."""
    known = registry()
    # A file that came later has brought another tuple of plugins.
    if not _read or _read[0][0] is not known.plugins:
        _read[:] = [(known.plugins, _collected(known))]
    found = _read[0][1]
    for url in (url for entry in found.values() for file in entry.files for url in file.urls):
        register_public(url)
    return found


def find(name: str) -> WeightsEntry:
    """The entry of a name.

    Raises:
        ConfigError: there is none.
    """
    known = entries()
    if name not in known:
        near = did_you_mean(name, known)
        raise ConfigError(f"there are no weights '{name}'{near}; 'thalweg weights list' shows all names")
    return known[name]


def _collected(known: Registry) -> dict[str, WeightsEntry]:
    """Ask every plugin by itself, so that one that fails or clashes costs the others nothing."""
    found: dict[str, WeightsEntry] = {}
    owners: dict[str, str] = {}
    for plugin in known.plugins:
        tables: list[Path] = []
        try:
            plugin.call("thalweg_weights", add=tables.append)
            brought = [entry for table in tables for entry in read_table(_checked(table))]
        # SystemExit too: a plugin that ends the process is as broken as any.
        except (Exception, SystemExit) as error:
            reason = str(error) if isinstance(error, ConfigError) else one_line(error)
            known.report(plugin.origin.fault(f"failed in thalweg_weights: {reason}"))
            continue
        for entry in brought:
            if entry.name in found:
                owner = owners[entry.name]
                reason = f"has a table with the weights '{entry.name}', which {owner} has and keeps"
                known.report(plugin.origin.fault(reason))
            else:
                found[entry.name], owners[entry.name] = entry, str(plugin.origin)
    return dict(sorted(found.items()))


def _checked(table: object) -> Path:
    if not isinstance(table, Path):
        raise PluginError(f"add() takes the path of a TOML file, got {type(table).__name__}")
    return table
