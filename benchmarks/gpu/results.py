"""What has been measured so far, on disk after every measurement (no torch here)."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.gpu.pieces import PIECES, Piece, Target

from thalweg.documents import write_document, write_text

RESULTS, SUMMARY = "results.json", "summary.md"
NOT_BEGUN, RUNNING, DONE = "not begun", "running", "done"


def planned(pieces: Sequence[Piece]) -> dict[str, Any]:
    """The results of pieces before any is begun."""
    return {
        one.name: {
            "what": one.what,
            "state": NOT_BEGUN,
            "seconds": None,
            "checks": [{"what": target.what, "figure": None, "met": None} for target in one.targets],
            "figures": [],
            "notes": [],
        }
        for one in pieces
    }


class Results:
    """The results of a run, in ``results.json`` and as a table in ``summary.md``.

    Args:
        folder: where both are written.
        pieces: that are to be run.
        made: on what, when and how, in plain values.
    """

    def __init__(self, folder: Path, pieces: Sequence[Piece], made: Mapping[str, Any]) -> None:
        self._folder = folder
        self.data: dict[str, Any] = {"made": dict(made), "pieces": planned(pieces)}
        self._write()

    def begin(self, name: str) -> None:
        """A piece is begun."""
        self.data["pieces"][name]["state"] = RUNNING
        self._write()

    def take(self, name: str, kind: str, content: Any) -> None:
        """Take what a piece has found: a ``figure``, a ``note``, or the figure of a target, a ``check``."""
        found = self.data["pieces"][name]
        if kind == "check":
            place = [one.key for one in PIECES[name].targets].index(content["key"])
            target = PIECES[name].targets[place]
            check = found["checks"][place]
            check |= {"figure": content["figure"], "met": target.met(content["figure"])}
            print(f"{'met   ' if check['met'] else 'MISSED'}  {name}: {_checked(target, check)}", flush=True)
        elif kind == "figure":
            found["figures"].append(content)
            print(f"        {name}: {content['what']}: {_number(content)}", flush=True)
        else:
            found["notes"].append(content)
            print(f"        {name}: {content}", flush=True)
        self._write()

    def end(self, name: str, state: str, seconds: float | None = None) -> None:
        """A piece is done, or ended otherwise, in words."""
        self.data["pieces"][name] |= {"state": state, "seconds": seconds}
        print(f"{name}: {_ended(self.data['pieces'][name])}", flush=True)
        self._write()

    @property
    def complete(self) -> bool:
        """Whether every piece is done and every target met."""
        pieces = self.data["pieces"].values()
        return all(one["state"] == DONE and all(check["met"] for check in one["checks"]) for one in pieces)

    def _write(self) -> None:
        write_document(self._folder / RESULTS, self.data)
        made = [f"{key}: {value}" for key, value in self.data["made"].items()]
        notes = [f"- {name}: {note}" for name, one in self.data["pieces"].items() for note in one["notes"]]
        text = [*made[:1], *(f"  \n{line}" for line in made[1:]), "\n\n", table(self.data["pieces"])]
        write_text(self._folder / SUMMARY, "".join(text) + "".join(f"\n{note}" for note in notes) + "\n")


def table(pieces: Mapping[str, Any]) -> str:
    """The results of pieces as a table in Markdown, of which the targets are a part."""
    rows = ["| piece | measured | figure | target | |", "|---|---|---|---|---|"]
    for name, found in pieces.items():
        rows.append(f"| **{name}** | {found['what']} | | | {_ended(found)} |")
        for target, check in zip(PIECES[name].targets, found["checks"], strict=True):
            figure = "–" if check["figure"] is None else f"{check['figure']:.4g}"
            met = {None: "", True: " met", False: " **missed**"}[check["met"]]
            rows.append(f"| | {target.what} | {figure} | {target.relation} {target.limit:g} |{met} |")
        rows += [f"| | {one['what']} | {_number(one)} | | |" for one in found["figures"]]
    return "\n".join(rows) + "\n"


def _ended(found: Mapping[str, Any]) -> str:
    took = "" if found["seconds"] is None else f", {found['seconds']:.0f} s"
    return f"{found['state']}{took}"


def _checked(target: Target, check: Mapping[str, Any]) -> str:
    return f"{target.what}: {check['figure']:.4g} ({target.relation} {target.limit:g})"


def _number(figure: Mapping[str, Any]) -> str:
    return f"{figure['value']:.4g} {figure['unit']}".rstrip()
