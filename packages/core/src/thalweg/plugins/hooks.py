"""Observers: the hooks that are called at the edges of a run."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from thalweg.plugins.records import Fault, LoadedPlugin
from thalweg.suggestions import one_line


class Hooks:
    """``hooks.thalweg_step_finished(step=..., ...)``: the observers of every plugin, in load order.

    An observer that raises, whatever it raises, is reported and left alone from then on: it costs the run
    nothing. Only Ctrl-C goes through.
    """

    def __init__(self, plugins: Iterable[LoadedPlugin], report: Callable[[Fault], None]) -> None:
        self._plugins = list(plugins)
        self._report = report

    def add(self, plugin: LoadedPlugin) -> None:
        """Call the observers of one more plugin, after all others."""
        self._plugins.append(plugin)

    def __getattr__(self, hook: str) -> Callable[..., None]:
        if not hook.startswith("thalweg_"):
            raise AttributeError(hook)
        return partial(self._call, hook)

    def _call(self, hook: str, **arguments: Any) -> None:
        for plugin in list(self._plugins):
            try:
                plugin.call(hook, **arguments)
            # SystemExit too: an observer may not end the process.
            except (Exception, SystemExit) as error:
                self._plugins.remove(plugin)
                origin = plugin.origin
                reason = f"failed in {hook} and is left out from now on: {one_line(error)}"
                self._report(Fault(origin.plugin, origin.distribution, origin.version, reason))
