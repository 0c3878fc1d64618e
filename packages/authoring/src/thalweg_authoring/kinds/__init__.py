"""The rules of each kind, one file a kind; ``every`` holds those of all kinds, which are checked first."""

import importlib
import pkgutil

for _name in ("every", *sorted(_one.name for _one in pkgutil.iter_modules(__path__))):
    importlib.import_module(f"{__name__}.{_name}")
