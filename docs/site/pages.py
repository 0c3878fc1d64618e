"""The pages of the site: those written by hand, and those generated."""

import functools
from pathlib import Path

from docs.site import commands, components, notebooks, python
from docs.site.mathml import with_mathml

ROOT = Path(__file__).parents[2]


@functools.cache
def pages() -> dict[str, str]:
    """Markdown by path: what is written by hand, and what is generated."""
    docs = ROOT / "docs"
    written = {
        str(path.relative_to(docs)): path.read_text()
        for path in [*docs.glob("*.md"), *docs.glob("tutorials/*.md"), *docs.glob("results/*.md")]
    }
    written |= {
        str(path.relative_to(docs).with_suffix(".md")): notebooks.page(path)
        for path in docs.glob("notebooks/*.ipynb")
    }
    written["changelog.md"] = (ROOT / "CHANGELOG.md").read_text()
    generated = {f"reference/{kind}.md": text for kind, text in components.pages().items()}
    generated |= {
        "reference/commands.md": commands.page(),
        "reference/hooks.md": python.hooks(),
        "reference/python.md": python.names(),
    }
    return {path: with_mathml(text) for path, text in {**written, **generated}.items()}
