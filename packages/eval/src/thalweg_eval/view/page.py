"""The page: controls, what was drawn by them, and the command line that gives the same."""

import os
from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any, get_args

import attrs

from thalweg.errors import ConfigError, ThalwegError
from thalweg.types import Head
from thalweg.types.networks import HeadForm
from thalweg_eval.view.choice import Choice, GuidanceKind, classes_in
from thalweg_eval.view.network import ShownSamples, ViewedNetwork
from thalweg_eval.view.pictures import picture

CSS = Path(__file__).with_name("view.css")

_GUIDANCE: Mapping[GuidanceKind, str] = {
    "none": "none", "cfg": "classifier-free", "internal": "internal", "both": "both", "run": "of the run",
}  # fmt: skip
_SAMPLERS = ("euler", "heun", "multistep", "unipc", "euler_maruyama", "stochastic_heun", "dopri5")
_MOST_IMAGES, _MOST_STEPS = 64, 250
_QUIET = {"show_progress": "hidden", "queue": False, "api_visibility": "private"}
_SYSTEM = ["system-ui", "sans-serif"]
_MONOSPACE = ["ui-monospace", "Consolas", "monospace"]


def gradio() -> Any:
    """The package gradio, which sends nothing to anybody; it takes seconds to import."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    import gradio

    return gradio


def theme() -> Any:
    """Fonts that every system has, so that none is loaded."""
    gr = gradio()
    return gr.themes.Default(primary_hue="teal", font=_SYSTEM, font_mono=_MONOSPACE)


@attrs.frozen(eq=False)
class _Shown:
    """A picture on the page, kept so that it can be held beside the next."""

    drawn: ShownSamples
    choice: Choice


def page(viewed: ViewedNetwork, model: str) -> Any:
    """The page of a network, as gradio's Blocks.

    Args:
        viewed: the network.
        model: what it is called.
    """
    gr = gradio()
    with gr.Blocks(title=f"thalweg view {model}", analytics_enabled=False, fill_width=True) as blocks:
        gr.HTML(f"<h1>{escape(model)}</h1><p>{escape(_summary(viewed))}</p>", elem_id="title")
        with gr.Row(elem_id="board"):
            with gr.Column(scale=2, min_width=300):
                controls = _Controls(gr, viewed)
            with gr.Column(scale=4, min_width=300):
                with gr.Row(elem_id="pictures"):
                    new = gr.HTML(elem_id="new", min_width=280)
                    held = gr.HTML(elem_id="held", min_width=280, visible=False)
                with gr.Row():
                    hold = gr.Button("Hold this picture", elem_id="hold", size="sm")
                    let_go = gr.Button("Let it go", elem_id="let-go", size="sm", visible=False)
                command = gr.Textbox(
                    label="The same samples on the command line",
                    elem_id="command", interactive=False, lines=2, max_lines=16, buttons=["copy"],
                )  # fmt: skip
        last, kept = gr.State(None), gr.State(None)

        def draw(before: _Shown | None, there: _Shown | None, *values: Any) -> tuple[Any, ...]:
            try:
                choice = controls.choice(values)
                # Whoever leaves a field as it was has asked for nothing new.
                if there is not None and there.choice == choice:
                    shown = there
                else:
                    shown = _Shown(viewed.draw(choice), choice)
            except ThalwegError as fault:
                raise gr.Error(str(fault), duration=None, print_exception=False) from None
            return shown, picture(shown.drawn, choice, "New", _noise(before, shown)), shown.drawn.command

        def keep(shown: _Shown | None) -> tuple[Any, ...]:
            if shown is None:
                return None, gr.update(), gr.update()
            html = picture(shown.drawn, shown.choice, "Held")
            return shown, gr.update(value=html, visible=True), gr.update(visible=True)

        def drop() -> tuple[Any, ...]:
            return None, gr.update(value="", visible=False), gr.update(visible=False)

        gr.on(
            [blocks.load, *controls.changes()],
            draw, [kept, last, *controls.inputs], [last, new, command],
            trigger_mode="always_last", show_progress="minimal", api_visibility="private",
        )  # fmt: skip
        hold.click(keep, [last], [kept, held, let_go], api_visibility="private")
        let_go.click(drop, None, [kept, held, let_go], api_visibility="private")
    return blocks


class _Controls:
    """The controls that make sense for a network, and the choice that they state."""

    def __init__(self, gr: Any, viewed: ViewedNetwork) -> None:
        self._first = viewed.choice
        self._fields: dict[str, tuple[Any, Callable[[Any], Any]]] = {}
        first, facts, heads = viewed.choice, viewed.facts, viewed.heads
        kinds: list[GuidanceKind] = ["none"]
        kinds += [] if viewed.unconditional else ["cfg"]
        kinds += ["internal"] if heads else []
        kinds += ["both"] if len(kinds) == 3 else []
        kinds += ["run"] if first.guidance == "run" else []
        kind = first.guidance if first.guidance in kinds else "none"
        guidance = self._add(
            "guidance",
            gr.Radio(
                [(_GUIDANCE[one], one) for one in kinds], value=kind, label="Guidance", elem_id="guidance"
            ),
        )
        with gr.Group(visible=kind in ("cfg", "both")) as cfg_group:
            if not viewed.unconditional:
                self._slider(gr, "cfg_scale", "Scale of classifier-free guidance", 0, 6, 0.05)
        with gr.Group(visible=kind in ("internal", "both")) as internal_group:
            if heads:
                self._head(gr, heads)
                self._scale(gr, calibrated=not viewed.uncalibrated)
        with gr.Group(visible=kind not in ("none", "run")) as interval_group:
            self._slider(gr, "low", "Guided from time (0 is data)", 0, 1, 0.05, first.interval[0])
            self._slider(gr, "high", "to time (1 is noise)", 0, 1, 0.05, first.interval[1])
        for why in filter(None, (viewed.unconditional, viewed.uncalibrated)):
            gr.Markdown(why, elem_classes=["why"])
        with gr.Group():
            names = list(dict.fromkeys([*_SAMPLERS, first.sampler]))
            sampler = self._add(
                "sampler", gr.Dropdown(names, value=first.sampler, label="Sampler", elem_id="sampler")
            )
            steps = self._slider(gr, "steps", "Steps", 1, max(_MOST_STEPS, first.steps), 1)
        with gr.Group():
            if facts.text is not None:
                box = gr.Textbox(
                    "", label="Caption", elem_id="prompt", info="Empty: captions of held-out data"
                )
                self._add("prompt", box, lambda text: text.strip())
            elif facts.classes is not None:
                info = f"0 to {facts.classes - 1}, such as 3,7; empty: all in turn"
                self._add(
                    "classes", gr.Textbox("", label="Classes", elem_id="classes", info=info), classes_in
                )
            self._slider(gr, "count", "Images", 1, _MOST_IMAGES, 1)
            self._add(
                "seed", gr.Number(first.seed, label="Seed", precision=0, minimum=0, elem_id="seed"), _seed
            )

        def seen(kind: str) -> list[Any]:
            shown = (kind in ("cfg", "both"), kind in ("internal", "both"), kind not in ("none", "run"))
            return [gr.update(visible=one) for one in shown]

        guidance.change(
            seen, guidance, [cfg_group, internal_group, interval_group], **_QUIET,
        )  # fmt: skip
        sampler.change(
            lambda name: gr.update(visible=name != "dopri5"), sampler, steps, **_QUIET,
        )  # fmt: skip

    @property
    def inputs(self) -> list[Any]:
        """All controls, in the order of :meth:`choice`'s values."""
        return [one for one, _ in self._fields.values()]

    def changes(self) -> list[Any]:
        """What happens when one of them is changed: texts and numbers are taken when they are complete."""
        found = []
        for one in self.inputs:
            whole = (
                [one.submit, one.blur] if hasattr(one, "blur") and hasattr(one, "submit") else [one.change]
            )
            found += whole
        return found

    def choice(self, values: tuple[Any, ...]) -> Choice:
        """What the controls state.

        Raises:
            ConfigError: a text among them is not what it should be.
        """
        pairs = zip(self._fields.items(), values, strict=True)
        found = {name: read(value) for (name, (_, read)), value in pairs}
        low, high = found.pop("low"), found.pop("high")
        head = found.pop("head", None)
        if head is not None:
            found |= {"after": head.after, "form": head.form}
        return attrs.evolve(self._first, **found, interval=(min(low, high), max(low, high)))

    def _add(self, name: str, control: Any, read: Callable[[Any], Any] = lambda value: value) -> Any:
        self._fields[name] = (control, read)
        return control

    def _slider(
        self, gr: Any, name: str, label: str, low: float, high: float, step: float, value: float | None = None
    ) -> Any:
        value = getattr(self._first, name) if value is None else value
        whole = isinstance(step, int)
        control = gr.Slider(
            low, max(high, value), value=value, step=step, label=label, elem_id=name.replace("_", "-")
        )
        return self._add(name, control, int if whole else lambda number: round(float(number), 4))

    def _head(self, gr: Any, heads: tuple[Head, ...]) -> None:
        names = {f"{one.after}/{one.form}": _named(one) for one in heads}
        value = f"{self._first.after}/{self._first.form}"
        box = gr.Dropdown(
            [(shown, key) for key, shown in names.items()], value=value, label="Weak head", elem_id="head"
        )
        self._add("head", box, _head_of)

    def _scale(self, gr: Any, *, calibrated: bool) -> None:
        first = self._first
        if not calibrated:
            self._slider(gr, "internal_scale", "Scale of internal guidance", 0, 4, 0.05)
            return
        ways = gr.Radio(
            [("calibrated", True), ("fixed", False)],
            value=first.calibrated,
            label="Scale of internal guidance",
            elem_id="calibrated",
        )
        self._add("calibrated", ways)
        strength = self._slider(gr, "strength", "Strength (1: least error of the velocity)", 0, 8, 0.25)
        scale = self._slider(gr, "internal_scale", "Scale", 0, 4, 0.05)
        strength.visible, scale.visible = first.calibrated, not first.calibrated
        ways.change(
            lambda value: [gr.update(visible=value), gr.update(visible=not value)], ways, [strength, scale],
            **_QUIET,
        )  # fmt: skip


def _seed(value: Any) -> int:
    if value is None:
        raise ConfigError("the seed is empty; give a whole number from 0 on")
    return int(value)


def _head_of(key: str) -> Head:
    after, _, form = key.partition("/")
    forms = {one: one for one in get_args(HeadForm)}
    return Head(int(after), forms[form])


def _named(head: Head) -> str:
    return f"after block {head.after}" + ("" if head.form == "plain" else f", {head.form}")


def _noise(before: _Shown | None, now: _Shown) -> str:
    """Whether a picture begins at other noise than the one that is held."""
    if before is None or before.choice.seed == now.choice.seed:
        return ""
    return f"Its noise differs from the held picture's, which has seed {before.choice.seed}."


def _summary(viewed: ViewedNetwork) -> str:
    facts = viewed.facts
    shape = "x".join(map(str, facts.shape))
    words = [f"samples of {shape}", f"{facts.depth} blocks"]
    if facts.classes is not None:
        words.append(f"{facts.classes} classes")
    if facts.text is not None:
        words.append("reads captions")
    if viewed.heads:
        depths = sorted({one.after for one in viewed.heads})
        words.append(f"heads after block {', '.join(map(str, depths))}")
    return " · ".join(words)
