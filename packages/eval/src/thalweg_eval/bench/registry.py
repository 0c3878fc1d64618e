"""The benches that are shipped: files under ``shipped/``, whose recipes and protocols stand beside them."""

from pathlib import Path

from thalweg.errors import ConfigError
from thalweg.storage.places import local_path
from thalweg.suggestions import did_you_mean, known_words

_FOLDER = Path(__file__).parent / "shipped"


def names() -> list[str]:
    """Those that are shipped."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def bench_file(named: str) -> Path:
    """The file of a bench.

    Args:
        named: a shipped one's name, or a file of one's own, which ends in ``.toml``.

    Raises:
        ConfigError: there is no such bench.
    """
    if named.endswith(".toml"):
        return local_path(named, "bench", "copy it to this machine first")
    if named not in names():
        raise ConfigError(
            f"there is no bench '{named}'{did_you_mean(named, names()) or known_words(names())}; "
            f"a file of your own ends in .toml"
        )
    return _FOLDER / f"{named}.toml"
