"""``thalweg encode``: images to shards."""

from typing import TYPE_CHECKING, Any

import attrs
import click

from thalweg.cli import console, options
from thalweg.cli.local import Place
from thalweg.cli.progress import ProgressDisplay
from thalweg.config import FaultyConfigError, apply_override, structure
from thalweg.errors import ConfigError

if TYPE_CHECKING:
    from thalweg_backbones.encoding import EncodingOutcome

_TABLES = ("autoencoder", "source", "teacher", "text", "storage_options")


@click.command("encode")
@click.argument("source", type=Place())
@click.argument("out", type=Place())
@options.settings
@click.option("--size", type=int, required=True, help="Height and width that images are cropped to.")
@click.option("--autoencoder", metavar="NAME", default="sd-vae", show_default=True, help="Which autoencoder.")
@click.option("--weights", metavar="PATH", type=Place(), help="Its weights: a path or a URL.")
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
    "--flips/--no-flips", default=False, show_default=True, help="Whether mirrored images count too."
)
@click.option("--channels", type=int, help="1 or 3.  [default: what images and autoencoder have]")
@click.option(
    "--dtype",
    type=click.Choice(["float16", "float32"]),
    default="float16",
    show_default=True,
    help="In which latents are stored.",
)
@options.batch_size(16)
@click.option("--shard-samples", type=int, help="Images of a shard.  [default: about 64 MiB]")
@options.seed
@options.download
@options.device
@options.devices
@options.accept_changed_data
@options.as_json
def command(
    *,
    source: str,
    out: str,
    autoencoder: str,
    weights: str | None,
    settings: tuple[str, ...],
    teachers: tuple[str, ...],
    text: str | None,
    device: str,
    devices: str,
    accept_changed_data: bool,
    as_json: bool,
    **others: Any,
) -> None:
    """Encode the images of SOURCE, a path or a URL, into shards in the folder OUT.

    KEY=VALUE are options of what takes part: autoencoder.precision=32-true, source.KEY=VALUE,
    teacher.weights=PATH, text.weights=PATH, and storage_options.KEY=VALUE of the storage of SOURCE and OUT.

    Interrupted or killed, the same command resumes. Images are centre-cropped as ADM does it.
    """
    tables = options.tables_of(settings, _TABLES)
    tables["autoencoder"] = {"type": autoencoder, **tables["autoencoder"]}
    if weights is not None:
        tables["autoencoder"].setdefault("weights", weights)
    plain = {
        "source": source,
        "target": out,
        "autoencoder": tables["autoencoder"],
        "source_options": tables["source"],
        "teachers": _named("teacher", teachers, tables["teacher"]),
        "text": next(iter(_named("text", () if text is None else (text,), tables["text"])), None),
        "storage_options": tables["storage_options"],
        **others,
    }
    # torch comes in here, once the command is known to be valid.
    from thalweg_backbones.encoding import EncodingJob, encode

    with ProgressDisplay() as progress:
        outcome = encode(
            structure(EncodingJob, plain),
            device=device,
            devices=devices,
            accept_changed_data=accept_changed_data,
            progress=progress,
        )
    if as_json:
        console.result_json(attrs.asdict(outcome))
    else:
        console.result(_sentence(outcome))


def _sentence(outcome: "EncodingOutcome") -> str:
    whole = (
        f"{outcome.target}: {outcome.images} images in {outcome.shards} shards, {outcome.bytes / 1e6:.4g} MB"
    )
    if not outcome.encoded:
        return f"{whole}; complete already, nothing was encoded"
    rate = outcome.encoded / max(outcome.seconds, 1e-9)
    return f"{whole}; {outcome.encoded} encoded in {outcome.seconds:.1f} s, {rate:.4g} a second"


def _named(option: str, given: tuple[str, ...], settings: dict[str, Any]) -> list[dict[str, Any]]:
    """What ``--teacher`` or ``--text`` was given, each as a table; settings belong to the only one."""
    if settings and len(given) != 1:
        raise ConfigError(
            f"{option}.KEY=VALUE is for one --{option}, and there are {len(given)}; give each of "
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
        tables.append({**(one if isinstance(one, dict) else {"type": one}), **settings})
    return tables
