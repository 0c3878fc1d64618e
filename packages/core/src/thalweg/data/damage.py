"""Images that turned out to be damaged."""

import logging
from threading import Lock

import numpy as np
from jaxtyping import Bool, Int

from thalweg.visible import visible_line

_TOLD = 20
"""Damaged images that are named; of more, their number is."""

_log = logging.getLogger("thalweg")


class DamagedImages:
    """Notes damaged images by their places in a source, and names each once."""

    def __init__(self) -> None:
        self._reasons: dict[int, str] = {}
        self._lock = Lock()

    def add(self, place: int, reason: str) -> None:
        """Note an image; known ones are not named again."""
        with self._lock:
            if place in self._reasons:
                return
            self._reasons[place] = reason
            count = len(self._reasons)
        if count <= _TOLD:
            _log.warning("left out, and the next image is read in its place: %s", visible_line(reason))
        if count == _TOLD:
            _log.warning("further damaged images are counted and not named")

    def among(self, places: Int[np.ndarray, " N"]) -> Bool[np.ndarray, " N"]:
        """Which of these places hold a damaged image."""
        with self._lock:
            return np.isin(places, list(self._reasons)) if self._reasons else np.zeros(len(places), bool)

    @property
    def reasons(self) -> list[str]:
        """What is wrong with each, in the order of their places."""
        with self._lock:
            return [self._reasons[place] for place in sorted(self._reasons)]
