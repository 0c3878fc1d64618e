"""A seeded secret in every option, override, address and variable; all that is written and said is swept."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

from secret_sweep import forms_of
from torture.hostile import EVALUATE, SAMPLE, Trial, quiet_port
from torture.workshop import ABLATE, CASES

_AT = "http://someone:{}@127.0.0.1:{}/x"
_IMAGES = (
    'data={{type="images",size=8,channels=1,source={{type="idx",url="{url}",storage_options={options}}}}}'
)
INPUTS = {"tiny.toml", "evil.toml", "moment.toml", "tiny-secret.toml"}
"""Files that the user wrote, and may hold it."""


def commands(secret: str) -> dict[str, Sequence[str]]:
    """Every way to hand it over."""
    port = quiet_port()
    at = _AT.format(secret, port)
    options = f'{{headers={{Authorization="Bearer {secret}"}}}}'
    plain = _IMAGES.format(url=f"http://127.0.0.1:{port}/x", options=options)
    local = _IMAGES.format(url="idx", options=f'{{password="{secret}"}}')
    train = ("train", "tiny.toml", "--run-dir", "out", "--device", "cpu", "--devices", "1", "--quiet")
    evaluate = EVALUATE[2:]
    return {
        "train, option": (*train, plain),
        "train, option of a local folder": (*train, local, "backbone.patch=2"),
        "train, override": (*train, f"data.storage_options.token={secret}"),
        "train, address": (*train, _IMAGES.format(url=at, options="{}")),
        "train, a recipe's address": ("train", at, "--quiet"),
        "train, run's address": (*train[:3], at, *train[4:]),
        "train, a wrong key": (*train, f"data.storage_optoins.password={secret}"),
        "train, a broken value": (*train, f'data.storage_options={{a="{secret}'),
        "train --dry-run": (*train, local, "backbone.patch=2", "--dry-run"),
        "config show": ("config", "show", "tiny.toml", local),
        "config validate": ("config", "validate", "tiny.toml", f"data.password={secret}"),
        "summary": ("summary", "tiny.toml", local),
        "ablate, option": (*ABLATE, local),
        "ablate, override": (*ABLATE, f"data.storage_options.token={secret}"),
        "ablate, axis": (
            "ablate",
            "tiny.toml",
            "--axis",
            f"data.storage_options.token={secret},b",
            "--out",
            "out",
        ),
        "ablate, address": (*ABLATE, f"data.url={at}"),
        "ablate, recipe": ("ablate", at, "--out", "out", "--axis", "refiner=none,plain"),
        "ablate, protocol": (*ABLATE[:4], "--protocol", at, "--out", "out"),
        "sample, model": ("sample", at, "out.npz"),
        "sample, autoencoder": (*SAMPLE, f"autoencoder.weights={at}"),
        "sample, autoencoder's type": (*SAMPLE, "autoencoder=sd-vae", f"autoencoder.weights={at}"),
        "sample, prompts": ("sample", "run", "out.npz", "--prompt-file", at),
        "evaluate, subject": ("evaluate", at, *evaluate),
        "evaluate, reference": ("evaluate", "run", "--reference", at, *evaluate),
        "evaluate, protocol": ("evaluate", "run", "--protocol", at),
        "evaluate, override": ("evaluate", "run", *evaluate, f"autoencoder.weights={at}"),
        "evaluate, setting": ("evaluate", "run", *evaluate, f"sampling.autoencoder.weights={at}"),
        "evaluate, weights": (
            "evaluate",
            "run",
            *evaluate,
            f"features.small_classifier.extractor.token={secret}",
        ),
        "evaluate, out": ("evaluate", "run", *evaluate[:-1], f"{at}/p.json"),
        "encode, source": ("encode", at, "out", "--size", "8", "--autoencoder", "identity"),
        "encode, target": ("encode", "images", at, "--size", "8", "--autoencoder", "identity"),
        "encode, storage": (*CASES["encode"].arguments, f"storage_options.password={secret}"),
        "encode, weights": ("encode", "images", "out", "--size", "8", "--weights", at),
        "encode, setting": (*CASES["encode"].arguments, f"source.token={secret}"),
        "encode, teacher": (*CASES["encode"].arguments, "--teacher", f'{{type="dinov2",weights="{at}"}}'),
        "import, file": ("import", "deepflow", at, "out"),
        "import, target": ("import", "deepflow", "df.pt", at),
        "report, run": ("report", at),
        "report, passport": ("report", "run", "--passport", at),
        "report, out": ("report", "run", "-o", f"{at}/out.html"),
        "compare": ("compare", at, at),
        "data inspect": ("data", "inspect", at),
        "data verify": ("data", "verify", at),
        "quickstart": ("quickstart", "--out", at),
        "init": ("init", at),
        "plugins new": ("plugins", "new", "sampler", at),
        "plugins check": ("plugins", "check", at),
        "an unknown command": (at,),
        "an unknown option": ("train", "tiny.toml", f"--password={secret}"),
    }


def trials(seed: int) -> list[Trial]:
    """All of them."""
    secret = f"Xq7{seed}canary+of=the.mine"
    forms = forms_of(secret)
    environment = {
        "THALWEG_STORAGE_OPTIONS": json.dumps({"http": {"headers": {"Authorization": f"Bearer {secret}"}}}),
        "AWS_SECRET_ACCESS_KEY": secret,
        "HF_TOKEN": secret,
        "WANDB_API_KEY": secret,
    }

    def swept(folder: Path) -> str:
        found = []
        for path in folder.rglob("*"):
            if path.name in INPUTS or path.is_symlink():
                continue
            said = os.fsencode(str(path.relative_to(folder)))
            if path.is_file():
                said += path.read_bytes()
            found += [str(path.relative_to(folder)) for form in forms if form in said]
        return f"the secret stands in {sorted(set(found))[:5]}" if found else ""

    def recipe(folder: Path, _: Path) -> None:
        text = (folder / "tiny.toml").read_text()
        table = (
            '[data]\ntype = "images"\nsize = 6\nchannels = 1\n\n[data.source]\ntype = "idx"\nurl = "idx"\n'
            f'storage_options = {{ password = "{secret}" }}\n\n'
        )
        start, stop = text.index("[data]"), text.index("[backbone]")
        (folder / "tiny.toml").write_text(
            text[:start] + table + text[stop:].replace("patch = 4", "patch = 2")
        )

    made = [
        Trial(
            f"secret, {name}",
            lambda *_: None,
            (command,),
            afterwards=swept,
            seconds=60,
            absent=frozenset(forms),
        )
        for name, command in commands(secret).items()
    ]
    for name, command in (
        ("train", CASES["train"].arguments),
        ("ablate", CASES["ablate"].arguments),
        ("config show", ("config", "show", "tiny.toml")),
        ("sample", SAMPLE),
        ("evaluate", EVALUATE),
        ("encode", CASES["encode"].arguments),
        ("report", CASES["report"].arguments),
    ):
        made.append(
            Trial(
                f"secret, a recipe's and the environment's, {name}",
                recipe,
                (command,),
                environment=environment,
                afterwards=swept,
                seconds=60,
                absent=frozenset(forms),
            )
        )
    return made
