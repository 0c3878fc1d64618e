"""``thalweg encode``: images to shards."""

from typing import TYPE_CHECKING, Any

import attrs
import click

from thalweg.cli import console
from thalweg.cli.local import Place
from thalweg.config import FaultyConfigError, apply_override, structure
from thalweg.errors import ConfigError

if TYPE_CHECKING:
    from thalweg.encoding import Outcome

_TABLES = ("autoencoder", "source", "teacher", "text")


@click.command("encode")
@click.argument("source", type=Place())
@click.argument("out", type=Place())
@click.option("--size", type=int, required=True, help="Height and width that images are cropped to.")
@click.option("--autoencoder", default="sd-vae", show_default=True, help="Which autoencoder.")
@click.option("--weights", metavar="PATH", type=Place(), help="Its weights: a path or a URL.")
@click.option(
    "--set",
    "settings",
    metavar="KEY=VALUE",
    multiple=True,
    help="An option of the autoencoder, the source, the teacher or the encoder of captions, such as "
    "autoencoder.precision=32-true.",
)
@click.option(
    "--teacher",
    "teachers",
    metavar="NAME",
    multiple=True,
    help="A frozen teacher whose features are stored too. Of several, each has its options in a table, as in "
    '\'{type = "dinov2", size = "l"}\'.',
)
@click.option(
    "--text",
    metavar="NAME",
    help="A text encoder, by which all captions of each image are stored too; options as of --teacher.",
)
@click.option("--grid", type=int, help="Tokens a side that teachers see.  [default: for patches of 2]")
@click.option(
    "--flips/--no-flips", default=True, show_default=True, help="Whether mirrored images count too."
)
@click.option("--channels", type=int, help="1 or 3.  [default: what images and autoencoder have]")
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="In which latents are stored.",
)
@click.option("--batch-size", default=16, show_default=True, help="Images encoded at once.")
@click.option("--shard-samples", type=int, help="Images of a shard.  [default: about 64 MiB]")
@click.option("--seed", default=0, show_default=True, help="Of the order of images in the shards.")
@click.option("--accelerator", default="auto", show_default=True, help="cpu, cuda, mps or auto.")
@click.option("--devices", default="auto", show_default=True, help="How many processes, one a device.")
@click.option(
    "--storage-option",
    "storage",
    metavar="KEY=VALUE",
    multiple=True,
    help="An option of the storage of SOURCE and OUT.",
)
@click.option(
    "--accept-changed-data",
    is_flag=True,
    help="Keep the shards of an unfinished set though SOURCE has changed since.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(
    *,
    source: str,
    out: str,
    autoencoder: str,
    weights: str | None,
    settings: tuple[str, ...],
    teachers: tuple[str, ...],
    text: str | None,
    storage: tuple[str, ...],
    accelerator: str,
    devices: str,
    accept_changed_data: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Encode the images of SOURCE, a path or a URL, into shards in the folder OUT.

    The same command goes on where one was interrupted or killed. Images are centre-cropped as ADM does it.
    """
    tables: dict[str, Any] = {"autoencoder": {"type": autoencoder}, "source": {}, "teacher": {}, "text": {}}
    if weights is not None:
        tables["autoencoder"]["weights"] = weights
    for item in settings:
        if item.partition(".")[0] not in _TABLES:
            raise ConfigError(
                f"--set takes autoencoder.KEY=VALUE, source.KEY=VALUE, teacher.KEY=VALUE or text.KEY=VALUE, "
                f"not '{item}'"
            )
        apply_override(tables, item)
    plain = {
        "source": source,
        "target": out,
        "autoencoder": tables["autoencoder"],
        "source_options": tables["source"],
        "teachers": _named("teacher", teachers, tables["teacher"]),
        "text": next(iter(_named("text", () if text is None else (text,), tables["text"])), None),
        "storage_options": storage_options(storage),
        **options,
    }
    # torch comes in here, once the command is known to be valid.
    from thalweg.encoding import EncodingJob, encode
    from thalweg.encoding.progress import progress

    outcome = encode(
        structure(EncodingJob, plain),
        accelerator=accelerator,
        devices=devices,
        accept_changed_data=accept_changed_data,
        show=progress,
    )
    if as_json:
        console.result_json(attrs.asdict(outcome))
    else:
        console.result(_sentence(outcome))


def _sentence(outcome: "Outcome") -> str:
    whole = (
        f"{outcome.target}: {outcome.images} images in {outcome.shards} shards, {outcome.bytes / 1e6:.4g} MB"
    )
    if not outcome.encoded:
        return f"{whole}; complete already, nothing was encoded"
    rate = outcome.encoded / max(outcome.seconds, 1e-9)
    return f"{whole}; {outcome.encoded} encoded in {outcome.seconds:.1f} s, {rate:.4g} a second"


def _named(option: str, given: tuple[str, ...], options: dict[str, Any]) -> list[dict[str, Any]]:
    """What ``--teacher`` or ``--text`` was given, each as a table; ``--set`` belongs to the only one."""
    if options and len(given) != 1:
        raise ConfigError(
            f"--set {option}.KEY=VALUE is for one --{option}, and there are {len(given)}; give each of "
            f'several with its options, as in --{option} \'{{type = "...", weights = "..."}}\''
        )
    tables = []
    for item in given:
        table: dict[str, Any] = {}
        try:
            apply_override(table, f"{option}={item}")
        except FaultyConfigError:  # which is not shown: there may be a secret in it
            raise ConfigError(
                f'--{option} takes a name, or a table such as {{type = "...", weights = "..."}}'
            ) from None
        one = table[option]
        tables.append({**(one if isinstance(one, dict) else {"type": one}), **options})
    return tables


def storage_options(items: tuple[str, ...]) -> dict[str, Any]:
    """What ``--storage-option KEY=VALUE`` was given.

    Raises:
        ConfigError: one is not of that form; its value is not repeated.
    """
    options: dict[str, Any] = {}
    for item in items:
        try:
            apply_override(options, item)
        except FaultyConfigError:
            key = item.partition("=")[0] if "=" in item else "..."
            raise ConfigError(f"--storage-option {key} is not of the form KEY=VALUE") from None
    return options
