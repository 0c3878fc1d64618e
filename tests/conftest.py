"""What every test is given."""

import pytest

from thalweg.storage import redaction


@pytest.fixture(autouse=True)
def no_secret_is_known(monkeypatch):
    """Secrets are known to a process until it ends; one test's must not mask what another prints."""
    monkeypatch.setattr(redaction, "_secrets", set())
    monkeypatch.setattr(redaction, "_pattern", None)
