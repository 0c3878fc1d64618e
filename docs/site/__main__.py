"""Puts the pages into build/pages; the site generator makes build/site of them.

python -m docs.site && zensical build --clean --strict && python -m docs.site --check
"""

import shutil
import sys

from docs.site import links
from docs.site.pages import ROOT, pages

PAGES, SITE = ROOT / "build" / "pages", ROOT / "build" / "site"


def main(arguments: list[str]) -> int:
    """Write the pages, or check the links of the site."""
    if arguments == ["--check"]:
        dead = links.dead(SITE)
        for one in dead:
            sys.stderr.write(f"dead link: {one}\n")
        return int(bool(dead))
    made = pages()
    shutil.rmtree(PAGES, ignore_errors=True)
    for path, text in made.items():
        target = PAGES / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    shutil.copytree(ROOT / "docs" / "images", PAGES / "images")
    shutil.copytree(ROOT / "docs" / "notebooks", PAGES / "notebooks", dirs_exist_ok=True)
    measured = shutil.ignore_patterns("*.md", "*.py")
    shutil.copytree(ROOT / "docs" / "results", PAGES / "results", ignore=measured, dirs_exist_ok=True)
    shutil.copy(ROOT / "docs" / "site" / "site.css", PAGES / "site.css")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
