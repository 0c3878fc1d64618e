"""Where nothing may be downloaded: what to copy instead, and where to."""

from collections.abc import Sequence

from thalweg.errors import DataError
from thalweg.storage.offline import offline
from thalweg.storage.redaction import redacted
from thalweg.weights.entry import WeightsEntry, WeightsFile
from thalweg.weights.here import folder_of, there


def check_online(entries: Sequence[WeightsEntry]) -> None:
    """Raise if nothing may be downloaded and some of these weights would have to be.

    Raises:
        DataError: saying which files to copy to which places, and their checksums.
    """
    stated = offline()
    missing = [(entry, one) for entry in entries for one in entry.files if one not in there(entry)]
    if stated and missing:
        lines = [
            f"{stated} is set, so nothing is downloaded; copy these files, and they are used once their "
            "SHA-256 was compared:",
            *(_line(*one) for one in missing),
        ]
        raise DataError("\n  ".join(lines))


def _line(entry: WeightsEntry, file: WeightsFile) -> str:
    known = f"SHA-256 {file.sha256}{'' if file.whole else '...'}" if file.sha256 else "SHA-256 unknown"
    return f"{redacted(file.urls[0])} to {folder_of(entry) / file.name} ({known})"
