"""Configurations as a run's folder records them."""

import tomllib

from thalweg.config import recorded_text


def recorded(text: str) -> str:
    """TOML with the digest that a run's config.toml ends in."""
    return recorded_text(tomllib.loads(text))
