"""What every test is given."""

import os
import signal
from pathlib import Path

import pytest
from jaxtyping import install_import_hook


def stating_shapes() -> list[str]:
    """The modules that state shapes; what all others state, mypy checks, and checking it in every call takes
    twice the time."""
    sources = (Path(__file__).parents[1] / "packages").glob("*/src")
    return [
        ".".join(path.relative_to(source).with_suffix("").parts).removesuffix(".__init__")
        for source in sources
        for path in source.rglob("*.py")
        if "from jaxtyping import" in path.read_text(encoding="utf-8")
    ]


# Before any of them is imported.
install_import_hook(stating_shapes(), "beartype.beartype")

from thalweg.storage import redaction  # noqa: E402

# No power fails during tests; those about power cuts note what is synced. Half of a tiny run would be this.
os.fsync = os.fdatasync = lambda _: None

# Whatever was fetched on this machine.
os.environ["THALWEG_WEIGHTS"] = "/nonexistent/weights"

# A shell that starts a command in the background has it ignore Ctrl-C, and so would all processes of tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_secret_is_known(monkeypatch):
    """Secrets are known to a process until it ends; one test's must not mask what another prints."""
    monkeypatch.setattr(redaction, "_known", redaction.Known())
