"""What is chosen on the page, as settings of ``thalweg sample``."""

import json
import shlex
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import attrs

from thalweg.errors import ConfigError
from thalweg.types.networks import HeadForm

GuidanceKind = Literal["none", "cfg", "internal", "both", "run"]
"""Guidance that the page offers; ``run`` is the run's own, where it is none of the others."""

OUT = "samples/view"
"""Where the command line that is shown writes to."""

_STEPLESS = ("dopri5",)


@attrs.frozen
class Choice:
    """All that the page's controls state.

    Attributes:
        guidance: which.
        cfg_scale: of classifier-free guidance.
        after: of internal guidance, the number of blocks after which its head stands.
        form: how that head is read.
        calibrated: whether its scale is the calibrated one.
        strength: of a calibrated scale.
        internal_scale: of internal guidance that is not calibrated.
        interval: of time, in which guidance acts.
        sampler: its name.
        steps: of the sampler, where it takes a number of them.
        seed: of all noise.
        classes: those to generate, in turn; empty for all.
        prompt: a caption; empty for those of the run's held-out data.
        count: of images.
    """

    guidance: GuidanceKind = "none"
    cfg_scale: float = 1.8
    after: int = 1
    form: HeadForm = "plain"
    calibrated: bool = False
    strength: float = 3.0
    internal_scale: float = 1.4
    interval: tuple[float, float] = (0.0, 1.0)
    sampler: str = "euler"
    steps: int = 25
    seed: int = 0
    classes: tuple[int, ...] = ()
    prompt: str = ""
    count: int = 8

    def settings(self, more: Sequence[str] = ()) -> list[str]:
        """``KEY=VALUE`` of ``thalweg sample``; each says all of what it changes, whatever the run states.

        Args:
            more: settings that hold for the whole page; those that the choice states anew are left out.
        """
        return [*self._kept(more), *self._stated()]

    def _kept(self, more: Sequence[str]) -> list[str]:
        keys = [one.partition("=")[0].strip() for one in more]
        anew = {"count", "seed"}
        # Other options of a sampler belong to the one that is named before them.
        if all(key in ("sampler", "sampler.steps") for key in keys if key.startswith("sampler")):
            anew |= {"sampler", "sampler.steps"}
        guided = self.guidance != "run"
        return [
            one
            for one, key in zip(more, keys, strict=True)
            if key not in anew and not (guided and key.partition(".")[0] == "guidance")
        ]

    def _stated(self) -> list[str]:
        found = [f"count={self.count}", f"seed={self.seed}", f"sampler={self.sampler}"]
        if self.sampler not in _STEPLESS:
            found.append(f"sampler.steps={self.steps}")
        if self.guidance == "none":
            found.append("guidance=none")
        elif self.guidance != "run":
            tables = [_toml(one) for one in self._guidances()]
            both = ", ".join(tables)
            found.append(f"guidance={both}" if len(tables) == 1 else f"guidance=[{both}]")
        return found

    @property
    def stated(self) -> dict[str, Any]:
        """What the options of ``thalweg sample`` state beside its settings."""
        return {"prompts": [self.prompt]} if self.prompt else {}

    def command(self, model: str, more: Sequence[str] = (), device: Sequence[str] = ()) -> str:
        """The command line that gives the same samples.

        Args:
            model: a path or a URL.
            more: settings that hold for the whole page.
            device: options that say where networks run.
        """
        words = ["thalweg", "sample", model, OUT, "--png"]
        if self.classes:
            words += ["--labels", ",".join(map(str, self.classes))]
        if self.prompt:
            words += ["--prompt", self.prompt]
        return shlex.join([*words, *device, *self.settings(more)])

    def _guidances(self) -> list[dict[str, Any]]:
        """From the network outwards."""
        interval = list(self.interval)
        scale: dict[str, Any] = {"scale": self.internal_scale}
        if self.calibrated:
            scale = {"scale": "calibrated", "strength": self.strength}
        internal = {"type": "internal", "after": self.after, "form": self.form, **scale, "interval": interval}
        cfg = {"type": "cfg", "scale": self.cfg_scale, "interval": interval}
        return {"internal": [internal], "cfg": [cfg], "both": [internal, cfg]}[self.guidance]


def classes_in(text: str) -> tuple[int, ...]:
    """Classes as ``--labels`` takes them.

    Raises:
        ConfigError: they are no integers.
    """
    try:
        return tuple(int(word) for word in text.replace(" ", "").split(",") if word)
    except ValueError:
        raise ConfigError(f"'{text}' is no list of classes such as 0,3,7") from None


def chosen_by(sampling: Mapping[str, Any]) -> Choice:
    """The choice that a run's settings are, as far as the page has controls for them.

    Args:
        sampling: in plain values.
    """
    guidance, sampler = sampling["guidance"], sampling["sampler"]
    listed = [] if guidance in (None, "none") else guidance if isinstance(guidance, list) else [guidance]
    tables = {one.get("type"): one for one in listed if isinstance(one, Mapping)}
    kinds: dict[tuple[Any, ...], GuidanceKind] = {
        (): "none", ("cfg",): "cfg", ("internal",): "internal", ("internal", "cfg"): "both",
    }  # fmt: skip
    internal, cfg = tables.get("internal", {}), tables.get("cfg", {})
    kind = kinds.get(tuple(tables), "run") if len(tables) == len(listed) else "run"
    scale, intervals = (
        internal.get("scale", 1.4),
        [one["interval"] for one in tables.values() if "interval" in one],
    )
    if kind != "run" and (isinstance(scale, list) or any(one != intervals[0] for one in intervals)):
        kind = "run"  # a curve, or two intervals: the page has one number for each
    fixed = isinstance(scale, int | float)
    steps = sampler.get("steps")
    return Choice(
        guidance=kind,
        cfg_scale=cfg.get("scale", 1.8),
        after=internal.get("after") or 0,
        form=internal.get("form", "plain"),
        calibrated=scale == "calibrated",
        strength=internal.get("strength", 3.0),
        internal_scale=float(scale) if fixed else 1.4,
        interval=tuple(intervals[0]) if intervals and kind != "run" else (0.0, 1.0),
        sampler=sampler["type"],
        steps=steps if isinstance(steps, int) else 25,
        seed=sampling["seed"],
        count=min(sampling["count"], 16),
    )


def _toml(table: Mapping[str, Any]) -> str:
    return "{" + ", ".join(f"{key}={json.dumps(value)}" for key, value in table.items()) + "}"
