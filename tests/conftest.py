"""What every test is given."""

import signal

import pytest

from thalweg.storage import redaction

# A shell that starts a command in the background has it ignore Ctrl-C, and so would all processes of tests.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def no_secret_is_known(monkeypatch):
    """Secrets are known to a process until it ends; one test's must not mask what another prints."""
    monkeypatch.setattr(redaction, "_known", redaction.Known())
