"""Samples as HTML: each a PNG within the page, drawn without interpolation where it is small."""

import base64
from html import escape

from PIL import Image

from thalweg.data.grid import png_bytes
from thalweg_eval.view.choice import Choice
from thalweg_eval.view.network import ShownSamples

_LARGE = 96  # pixels from which an image is shown at its own size at most


def picture(drawn: ShownSamples, choice: Choice, title: str, note: str = "") -> str:
    """A figure of all samples, with what they cost and how they were drawn.

    Args:
        drawn: the samples.
        choice: how.
        title: of the figure.
        note: what else to say of it.
    """
    side = drawn.images.shape[-1]
    cells = "".join(_cell(drawn, index) for index in range(len(drawn.images)))
    kind = "large" if side >= _LARGE else "small"
    lines = [f"<b>{drawn.nfe:.4g} NFE</b> each", *map(escape, described(choice))]
    after = f"<p class='note'>{escape(note)}</p>" if note else ""
    return (
        f"<figure class='drawn'><h3>{escape(title)}</h3><div class='cells {kind}'>{cells}</div>"
        f"<figcaption>{' · '.join(lines)}</figcaption>{after}</figure>"
    )


def described(choice: Choice) -> list[str]:
    """How samples were drawn, in words."""
    cfg = f"classifier-free {choice.cfg_scale:g}"
    scale = (
        f"calibrated, strength {choice.strength:g}"
        if choice.calibrated
        else f"scale {choice.internal_scale:g}"
    )
    form = "" if choice.form == "plain" else f", {choice.form}"
    internal = f"internal after block {choice.after}{form} ({scale})"
    within = (
        "" if choice.interval == (0.0, 1.0) else f" for t in [{choice.interval[0]:g}, {choice.interval[1]:g}]"
    )
    guidance = {
        "none": "no guidance",
        "cfg": cfg + within,
        "internal": internal + within,
        "both": f"{internal} within {cfg}{within}",
        "run": "guidance of the run",
    }[choice.guidance]
    steps = "" if choice.sampler == "dopri5" else f", {choice.steps} steps"
    return [guidance, f"{choice.sampler}{steps}", f"seed {choice.seed}"]


def _cell(drawn: ShownSamples, index: int) -> str:
    pixels = drawn.images[index].permute(1, 2, 0).numpy()
    image = Image.fromarray(pixels[:, :, 0] if pixels.shape[2] == 1 else pixels)
    encoded = base64.b64encode(png_bytes(image)).decode()
    words = f"sample {index}"
    if drawn.labels is not None:
        words += f", class {drawn.labels[index]}"
    if drawn.captions is not None:
        words += f", {drawn.captions[index]}"
    return f"<img src='data:image/png;base64,{encoded}' alt='{escape(words)}' title='{escape(words)}'>"
