"""What any tuning is asked for, whatever it tunes: checked, opened, and carried out in its folder."""

import contextlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs

from thalweg.arguments import AT_ONCE, REPEATS, check_path, check_texts
from thalweg.devices import devices_of
from thalweg.documents import write_document, write_text
from thalweg.errors import ConfigError
from thalweg.folders import refuse_links
from thalweg.jobs.pool import check_alone
from thalweg.passport import Passport
from thalweg.storage import cache_folder, redacted
from thalweg.storage.places import check_folder, local_path, plain_place
from thalweg.storage.redaction import redacted_plain
from thalweg_eval.ablation.folder import alone
from thalweg_eval.evaluation.accumulate import SAVE_SECONDS, Execution
from thalweg_eval.evaluation.arguments import check_shared, check_types
from thalweg_eval.evaluation.provenance import software
from thalweg_eval.evaluation.subject import NetworkInMemory, local, network_of
from thalweg_eval.report import render
from thalweg_eval.report.model import Page
from thalweg_eval.report.sections import machine_in_words
from thalweg_eval.tuning.asked import Asked, Tuned
from thalweg_eval.tuning.folder import REPORT, RESULTS, claim
from thalweg_eval.tuning.points import TunedPoint
from thalweg_eval.tuning.written import check_written, write_protocol


def silent(*_: Any) -> None:
    """No progress is shown."""


@attrs.frozen(eq=False, kw_only=True)
class Request:
    """Arguments that :func:`thalweg_eval.tuning.tune_guidance` and its like share.

    Raises:
        ConfigError: one of them is of another type than what it stands for.
    """

    tuned: Tuned
    subject: Any
    out: Any
    protocol: Any
    seeds: Any
    write: Any
    settings: Any
    reference: Any
    devices: Any
    device: Any
    batch_size: Any
    work: Any
    progress: Any
    say: Any
    data: Any
    command: str

    def __attrs_post_init__(self) -> None:
        check_alone()
        check_types(
            subject=self.subject,
            reference=self.reference,
            metrics=(),
            extractor=None,
            protocol=self.protocol,
            paths={"out": self.out, "write": self.write, "work": self.work},
            functions={"say": self.say, "progress": self.progress or silent},
            save_seconds=SAVE_SECONDS,
        )
        check_path("out", self.out, "the folder of the tuning")

    def carried_out(
        self,
        bound: Mapping[str, Any],
        stated_by: str,
        compute: Callable[[Asked, Path, list[int]], tuple[dict[str, Any], TunedPoint]],
        page: Callable[[Mapping[str, Any]], Page],
    ) -> dict[str, Any]:
        """Compute what is missing, and write results, report and protocol.

        Args:
            bound: what the folder is bound to beside network, protocol and reference.
            stated_by: how what is tuned is stated instead of by settings, for the message.
            compute: what was found and the point that is chosen, of what is opened, the folder and the seeds.
            page: the report of that.

        Raises:
            ConfigError: settings are wrong, or the folder holds something else.
            DataError: images, weights or a point are missing or damaged.
            ThalwegError: samples are not finite, or a file cannot be written.
        """
        settings = check_texts("settings", self.settings, "['count=1000']")
        key = f"sampling.{self.tuned}"
        if any(one.partition("=")[0].strip().startswith(key) for one in settings):
            raise ConfigError(f"{key} is what is tuned; state it by {stated_by}")
        REPEATS.check("seeds", self.seeds)
        batch_size = AT_ONCE.check("batch_size", self.batch_size)
        out = local_path(self.out, "out")
        check_folder(out, "out")
        target = None if self.write is None else local_path(self.write, "write")
        places = devices_of(self.device, self.devices)
        check_shared(len(places), subject=self.subject, reference=self.reference)
        if target is not None:
            check_written(target)
        with contextlib.ExitStack() as stack:
            named = plain_place(self.subject) if isinstance(self.subject, str | Path) else self.subject
            at, reference_at = local(named, stack), local(self.reference, stack)
            network = network_of(at)
            if network is None:
                raise ConfigError(
                    f"{redacted(str(named))} holds no network whose {self.tuned} could be tuned; give a run "
                    "or a saved network"
                )
            if isinstance(network, NetworkInMemory) and self.device == "auto":
                places = [network.home]
            execution = Execution(
                cache_folder() / "evaluation" if self.work is None else local_path(self.work, "work"),
                places,
                batch_size,
                progress=self.progress or silent,
            )
            asked = Asked(
                self.tuned,
                named,
                at,
                network,
                reference_at,
                execution,
                self.data,
                self.protocol,
                tuple(settings),
                self.say,
            )
            refuse_links(out, ".lock", RESULTS, REPORT)
            stack.enter_context(alone(out))
            claim(out, asked.plan(bound, self.reference))
            seeds = list(range(asked.seed, asked.seed + self.seeds))
            found, chosen = compute(asked, out, seeds)
            found = {**found, "written": None if target is None else str(target), "command": self.command}
            if target is not None:
                write_protocol(target, asked.read(chosen, asked.seed), self.tuned, chosen.name)
            found = redacted_plain(found)
            write_document(out / RESULTS, found, sealed=True)
            write_text(out / REPORT, render(page(found)))
        return dict(found)


def circumstances(passports: list[Passport]) -> dict[str, Any]:
    """With what, when and on what passports were made, as ``results.json`` has it."""
    made = sorted(one.made for one in passports)
    return {
        "software": software(),
        "made": [made[0], made[-1]],
        "machines": sorted({machine_in_words(one.machine) for one in passports}),
    }
