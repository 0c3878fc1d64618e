"""Pages whose text mkdocstrings takes from the code: hooks, and the names of the package."""

import thalweg
from thalweg import hookspecs

# Kinds of names that the package offers, in the order of the page.
_ERRORS = ("ThalwegError", "ConfigError", "DataError", "DivergenceError", "PluginError")


def hooks() -> str:
    """Markdown: every hook of the contract."""
    names = [name for name in vars(hookspecs) if name.startswith("thalweg_")]
    return "\n\n".join(
        [
            "# Hooks",
            f"Version {hookspecs.API_VERSION} of the contract ([what may change](../stability.md)). A hook "
            "is a function of a plugin's module, decorated with `thalweg.hookimpl`; it takes those of the "
            "arguments that it needs.",
            *(f"::: thalweg.hookspecs.{name}" for name in names),
            "::: thalweg.hookspecs.Register",
            "::: thalweg.hookspecs.AddWeights",
            "",
        ]
    )


def names() -> str:
    """Markdown: every name of ``thalweg``."""
    found = [name for name in thalweg.__all__ if name not in {"__version__", *_ERRORS}]
    parts = [
        "# Python",
        "Everything that `import thalweg` offers. Names are imported when they are first used.",
    ]
    parts += [f"::: {_home(name)}" for name in [*found, *_ERRORS]]
    return "\n\n".join(parts) + "\n"


def _home(name: str) -> str:
    """Where a name is defined, as the static reader of the code must know it."""
    module = getattr(getattr(thalweg, name), "__module__", None) or ""
    # An object, or a type that another one stands for, knows no module of its own.
    if not module.startswith("thalweg"):
        module = next(home for home, names in thalweg._HOMES.items() if name in names.split())
    return f"{module}.{name}"
