"""Hooks of earlier contracts that are still called, under the name that took their place."""

import warnings
from collections.abc import Mapping

import attrs
import pluggy

from thalweg.plugins.records import Fault


@attrs.frozen
class Deprecation:
    """What became of a hook.

    Attributes:
        replacement: the hook that is called now; it offers at least the same arguments.
        since: the version of the contract that brought the replacement.
        until: the version that will not know the old spelling any more.
    """

    replacement: str
    since: int
    until: int


DEPRECATED: Mapping[str, Deprecation] = {
    "thalweg_run_finished": Deprecation("thalweg_run_ended", since=2, until=3),
}
"""Old spellings, as docs/stability.md lists them."""


def respelled(
    hooks: Mapping[str, pluggy.HookImpl], owner: Fault
) -> tuple[dict[str, pluggy.HookImpl], list[Fault]]:
    """A plugin's hooks under today's names, and a notice for each old one that it relies on.

    A plugin that implements a hook under both names works with both versions of Thalweg: the old one is
    passed over without a word.

    Args:
        hooks: as the plugin implements them.
        owner: names plugin, distribution and version.
    """
    today, notices = dict(hooks), []
    for old, deprecation in DEPRECATED.items():
        if old not in today:
            continue
        implementation = today.pop(old)
        if deprecation.replacement in today:
            continue
        today[deprecation.replacement] = implementation
        reason = (
            f"implements the deprecated hook '{old}'; implement '{deprecation.replacement}' instead, "
            f"version {deprecation.until} of the plugin interface will not call the old one"
        )
        notices.append(attrs.evolve(owner, reason=reason))
        code = implementation.function.__code__
        warnings.warn_explicit(str(notices[-1]), DeprecationWarning, code.co_filename, code.co_firstlineno)
    return today, notices
