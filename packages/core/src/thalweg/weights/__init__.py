"""Published weights by name: tables of what there is, and what of it was fetched (no torch here).

Plugins bring the tables, by the hook ``thalweg_weights``. ``thalweg weights get NAME`` fetches, and
``weights:NAME`` stands for the file or folder wherever a place is read. Nothing is downloaded unasked: a
command's ``--download`` permits it.
"""

from typing import TYPE_CHECKING

from thalweg.lazy_names import lazy_names

if TYPE_CHECKING:
    from thalweg.weights.fetching import get as get
    from thalweg.weights.here import path_of as path_of
    from thalweg.weights.tables import entries as entries
    from thalweg.weights.tables import find as find

__getattr__, __dir__, __all__ = lazy_names(
    __name__,
    {
        "thalweg.weights.fetching": "get",
        "thalweg.weights.here": "path_of",
        "thalweg.weights.tables": "entries find",
    },
)
