"""Where drawn samples go: they appear whole, on the disk itself, after the note of how they were drawn.

By the note the command that drew them knows its work again, at whatever moment it was ended.
"""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from thalweg import files
from thalweg.errors import ConfigError, DataError, ThalwegError
from thalweg.evaluation.blocks import Blocks, DamagedBlockError, Form
from thalweg.evaluation.formats import (
    SETTINGS,
    TENSORS,
    Writer,
    write_folder,
    write_npz,
    write_pngs,
    write_tar,
)
from thalweg.evaluation.notes import any_note, note_of, write_note
from thalweg.evaluation.sets import images_at
from thalweg.files import sha256, sync_folder
from thalweg.folders import whole_folder
from thalweg.storage.places import check_folder, check_name

_WHOLE = "whole"


@attrs.frozen
class Target:
    """A file or folder of samples that is to be.

    Attributes:
        out: its place.
        form: images or tensors.
        write: writes it.
        device: where images are opened.
    """

    out: Path
    form: Form
    write: Writer
    device: str

    @property
    def _note(self) -> Path:
        return note_of(self.out) if self.form == "images" else self.out / SETTINGS

    def check(self) -> None:
        """Refuse what stands there and is not of this program's making.

        Raises:
            ConfigError: naming it.
        """
        if os.path.lexists(self.out):
            if any_note(self._note) is None:
                raise self._taken()
        elif os.path.lexists(self._note) and any_note(self._note) is None:
            raise ConfigError(
                f"{self._note} is no note of samples, and one would take its place; choose another name than "
                f"{self.out}, or move that file"
            )

    def finished(self, request: str) -> dict[str, Any] | None:
        """What samples have cost that are there whole, drawn by the same request; None if there are none.

        Raises:
            ConfigError: if there are others.
        """
        if not os.path.lexists(self.out):
            return None
        note = any_note(self._note) or {}
        try:
            ours = note.get("request") == request and note.get("images") == self._identity(self.out)
        except (DataError, OSError):
            ours = False  # what is there now is damaged or something else
        if not ours:
            raise self._taken()
        sync_folder(self.out.parent)  # whoever moved it there may have been ended before
        return {name: note[name] for name in ("evaluations", "seconds")}

    def put(
        self,
        scratch: Path,
        blocks: Blocks,
        drawn: Mapping[str, Any],
        captions: Sequence[str] | None,
        request: str,
    ) -> dict[str, Any]:
        """Write the samples, and move them to their place.

        Args:
            scratch: a folder beside it.
            blocks: the samples.
            drawn: how they were drawn.
            captions: what each was drawn for; None without.
            request: what asked for them.

        Returns:
            What they have cost: ``evaluations`` of each, and ``seconds``.

        Raises:
            DamagedBlockError: if a block turns out to be damaged.
            ThalwegError: if there is no room.
        """
        worded = {} if captions is None else {"captions": list(captions)}
        try:
            with whole_folder(scratch / _WHOLE) as fresh:
                there = fresh / self.out.name
                self.write(there, iter(blocks), {**drawn, **worded})
                cost = {
                    "evaluations": float(blocks.evaluated / drawn["sampling"]["count"]),
                    "seconds": round(blocks.seconds, 3),
                }
                told = {"images": self._identity(there), **cost, "request": request, **worded}
                if self.form == "images":
                    # As of samples that are drawn on the spot, whose number is told beside it.
                    sampling = {name: one for name, one in drawn["sampling"].items() if name != "count"}
                    write_note(fresh / self._note.name, {"drawn": sampling, **told})
                else:
                    write_note(there / SETTINGS, {**drawn, **told})
            self._move(scratch / _WHOLE)
        except OSError as error:
            raise self._no_room(error) from error
        except ThalwegError as error:
            if isinstance(error, DamagedBlockError) or not isinstance(error.__cause__, OSError):
                raise
            raise self._no_room(error.__cause__) from error
        return cost

    def _move(self, whole: Path) -> None:
        """The note first: samples without one would not be known again."""
        if os.path.lexists(self.out):
            raise self._taken()
        if self.form == "images":
            files.disk.move(whole / self._note.name, self._note)
            sync_folder(self.out.parent)
        files.disk.move(whole / self.out.name, self.out)
        sync_folder(self.out.parent)

    def _identity(self, path: Path) -> dict[str, Any]:
        if self.form == "images":
            return dict(images_at(path, None).open(self.device).identity)
        return {"kind": "tensors", "sha256": sha256(path / TENSORS)}

    def _taken(self) -> ConfigError:
        return ConfigError(f"{self.out} exists; choose a name that does not")

    def _no_room(self, error: OSError) -> ThalwegError:
        return ThalwegError(
            f"cannot write {self.out}: {error.strerror or error}; make room, and the same command goes on"
        )


def target_of(out: Path, device: str, *, pngs: bool) -> Target:
    """The target that a name asks for.

    Args:
        out: ``.npz`` and ``.tar`` get images; any other name is a folder, of tensors.
        device: where images are opened.
        pngs: make the folder one of images.

    Raises:
        ConfigError: if a folder would be called like a file of another kind, or the name is not UTF-8.
    """
    check_name(out, "out")
    suffix = out.suffix.lower()
    if suffix == ".npz":
        return Target(out, "images", write_npz, device)
    if suffix == ".tar":
        return Target(out, "images", write_tar, device)
    check_folder(out, "out", ", or one that ends in .npz or .tar; --png makes a folder of PNGs")
    if pngs:
        return Target(out, "images", write_pngs, device)
    return Target(out, "tensors", write_folder, device)
