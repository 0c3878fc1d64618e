"""``thalweg compare``: numbers of several passports side by side."""

import click

from thalweg.cli import console
from thalweg.cli.local import Place
from thalweg.errors import ThalwegError
from thalweg.storage.redaction import excerpt

_SHOWN = 60


@click.command("compare")
@click.argument("passports", nargs=-1, required=True, type=Place())
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def command(passports: tuple[str, ...], as_json: bool) -> None:
    """Put the numbers of PASSPORTS side by side, and mark the best by *.

    Numbers that were made under different conditions are not ranked: what differs is listed, and the exit
    code is 1.
    """
    from thalweg.evaluation.comparing import compare
    from thalweg.evaluation.passport import read_passport

    if len(passports) < 2:
        raise click.UsageError("give at least two passports")
    found = compare([read_passport(path) for path in passports])
    if as_json:
        console.result_json(
            {
                "passports": [str(path) for path in passports],
                "numbers": found.numbers,
                "differing": found.differing,
                "best": found.best,
            }
        )
    else:
        rows = [
            (name, *(_shown(value, place in found.best.get(name, ())) for place, value in enumerate(values)))
            for name, values in found.numbers.items()
        ]
        console.result(console.columns(rows, ("number", *map(str, passports))))
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


def _shown(value: float | None, best: bool) -> str:
    return "-" if value is None else f"{value:.6g}{' *' if best else ''}"


def _short(value: object) -> str:
    return excerpt("absent" if value is None else str(value), _SHOWN)
