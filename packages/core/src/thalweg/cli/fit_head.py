"""``thalweg fit-head``: intermediate heads of a trained network, which stays as it is."""

import shlex
from typing import Any

import click

from thalweg.cli import console, options
from thalweg.cli.local import Place
from thalweg.cli.training_runs import held, program_of, trained
from thalweg.head_settings import check_settings


@click.command("fit-head")
@click.argument("model", type=Place())
@options.settings
@click.option(
    "--after",
    multiple=True,
    required=True,
    type=click.IntRange(min=1),
    metavar="DEPTH",
    help="Number of blocks after which a head stands; may be repeated.",
)
@click.option("--run-dir", type=Place(), required=True, help="Folder of the new run, a path or a URL.")
@options.data_of
@options.accept_changed_data
@options.accept_changed_files
@options.download
@options.device
@options.devices
@click.option("--quiet", is_flag=True, help="No progress, only warnings.")
@click.pass_context
def command(ctx: click.Context, /, **given: Any) -> None:
    """Fit heads after some blocks of MODEL, a run or a saved network, and leave all else as it is.

    A head reads a velocity from the tokens there, and internal guidance leads away from what it says: so a
    network that was trained without heads, or imported, gains that guidance. The run in --run-dir holds the
    network with its heads in 'model', and what was measured of them.

    KEY=VALUE changes how they are fitted: training.steps=1000, training.optimizer.lr=0.001,
    training.batch_size as in the network's own run or the recipe, training.precision=32-true.

    The same command resumes a run that was interrupted or pre-empted (exit codes 130 and 75).
    """
    held(ctx, lambda: _fit(ctx, **given))


def _fit(
    ctx: click.Context,
    *,
    model: str,
    settings: tuple[str, ...],
    after: tuple[int, ...],
    run_dir: str,
    data: str | None,
    accept_changed_data: bool,
    accept_changed_files: bool,
    device: str,
    devices: str,
    quiet: bool,
) -> None:
    check_settings(settings)
    # torch comes in here, once the command is known to be valid.
    from thalweg.head_fitting import trainer_of_heads

    trainer = trained(
        ctx,
        lambda: trainer_of_heads(
            model,
            run_dir,
            after=after,
            data=data,
            settings=settings,
            accelerator=device,
            devices=devices,
            quiet=quiet,
        ),
        quiet=quiet,
        accept_changed_data=accept_changed_data,
        accept_changed_files=accept_changed_files,
    )
    if trainer.leads and not quiet:
        where = trainer.run.where
        name = where.partition("?")[0].rstrip("/").rpartition("/")[2]
        guidance = f'guidance={{type="internal", scale="calibrated", after={after[0]}}}'
        command = [*program_of(ctx), "sample", where, f"samples/{name}", guidance]
        console.say(f"next: {shlex.join(command)}")
