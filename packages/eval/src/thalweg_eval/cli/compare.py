"""``thalweg compare``: numbers of several passports side by side."""

import click

from thalweg.cli import console, options
from thalweg.cli.local import Place
from thalweg.errors import ThalwegError
from thalweg.storage.redaction import excerpt
from thalweg.visible import columns

_SHOWN = 60


@click.command("compare")
@click.argument("passports", nargs=-1, required=True, type=Place())
@click.option(
    "--over",
    multiple=True,
    metavar="KEY",
    help="What is under study, such as sampling.guidance: may differ; all else must agree.",
)
@options.as_json
def command(passports: tuple[str, ...], over: tuple[str, ...], as_json: bool) -> None:
    """Put the numbers of PASSPORTS side by side, and mark the best by *.

    Numbers that were made under different conditions are not ranked: what differs is listed, and the exit
    code is 1. With --over, guidances and samplers are: the best says which one suits the network.
    """
    from thalweg.passport import read_passport
    from thalweg_eval.evaluation.compare import compare, rows

    if len(passports) < 2:
        raise click.UsageError("give at least two passports")
    found = compare([read_passport(path) for path in passports], over)
    if as_json:
        console.result_json(
            {
                "passports": [str(path) for path in passports],
                "numbers": found.numbers,
                "over": found.over,
                "differing": found.differing,
                "best": found.best,
            }
        )
    else:
        studied = [(key, *map(_short, values)) for key, values in found.over.items()]
        console.result(columns([*studied, *rows(found)], ("number", *map(str, passports))))
    if found.differing:
        lines = [
            f"{key}: {' / '.join(_short(value) for value in values)}"
            for key, values in found.differing.items()
        ]
        raise ThalwegError(
            "\n  ".join(
                ["these numbers cannot be ranked, as they were made under different conditions:", *lines]
            )
        )


def _short(value: object) -> str:
    return excerpt("absent" if value is None else str(value), _SHOWN)
