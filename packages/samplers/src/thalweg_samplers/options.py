"""Options of samplers and guidance that are made without a config: what their configs refuse is refused."""

from typing import Any, TypeVar

from thalweg.config import structure

Config = TypeVar("Config")


def checked(config: type[Config], **options: Any) -> Config:
    """The config of these options.

    Raises:
        ConfigError: one of them makes no sense; named, with what is allowed.
    """
    return structure(config, options)
