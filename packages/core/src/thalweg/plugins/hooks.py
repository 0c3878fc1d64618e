"""Observers: the hooks that are called at the edges of a run."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from thalweg.errors import ThalwegError
from thalweg.plugins.records import Fault, LoadedPlugin
from thalweg.suggestions import one_line


class Hooks:
    """``hooks.thalweg_step_finished(step=..., numbers=...)``: the observers of every plugin, in load order.

    An observer that raises is reported, and left alone from then on, so that it costs the run nothing.
    A :class:`ThalwegError` goes through: so a plugin may end a run.
    """

    def __init__(self, plugins: Iterable[LoadedPlugin], report: Callable[[Fault], None]) -> None:
        self._plugins = list(plugins)
        self._report = report

    def __getattr__(self, hook: str) -> Callable[..., None]:
        if not hook.startswith("thalweg_"):
            raise AttributeError(hook)
        return partial(self._call, hook)

    def _call(self, hook: str, **arguments: Any) -> None:
        for plugin in list(self._plugins):
            try:
                plugin.call(hook, **arguments)
            except ThalwegError:
                raise
            except Exception as error:
                self._plugins.remove(plugin)
                origin = plugin.origin
                reason = f"failed in {hook} and is left out of the rest of the run: {one_line(error)}"
                self._report(Fault(origin.plugin, origin.distribution, origin.version, reason))
