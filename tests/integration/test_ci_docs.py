""".ci/docs.py finds what cannot be typed, prints otherwise than it says, or is run by nobody."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
NO_FAULT = """
```sh
mkdir made  # as a reader would
ls made
```

```toml
# made/recipe.toml
name = "x"
```

```python
number = 1
```

```sh
grep -q name made/recipe.toml
```

```python
print(number + 1)  # 2
```

```text
5
```

<!-- first: touch there -->
<!-- not run `no-such`: nobody has it -->
<!-- run `seq` with 3 > numbers: it counts for hours -->
```sh
test -f there
no-such-command
seq 1
wc  -l numbers
```

```text
...
14 numbers
```

<!-- not run: needs
a cluster -->
```bash
srun no-such-command
```
"""


def work(text, tmp_path, monkeypatch):
    """A page of this text, worked through."""
    spec = importlib.util.spec_from_file_location("ci_docs", ROOT / ".ci/docs.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    (tmp_path / "page.md").write_text(text)
    (tmp_path / "folder").mkdir()
    monkeypatch.setattr(module, "ROOT", tmp_path)
    try:
        module.Reader("page.md", Path(sys.prefix), tmp_path / "folder").read()
    except module.FaultError as fault:
        return str(fault)
    return ""


def test_a_page_that_does_what_it_says_passes(tmp_path, monkeypatch):
    assert work(NO_FAULT, tmp_path, monkeypatch) == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("```sh\ntrue\nfalse\n```\n", "false\nends with 1"),
        ("```bash\nno-such-command\n```\n", "ends with 127"),
        ("```sh\nfalse | cat\n```\n", "ends with 1"),
        ("```python\nprint(1)  # 2\n```\n", "prints ['1'] and says ['2']"),
        ("```python\nprint(unknown)\n```\n", "NameError"),
        ("```text\nthalweg quickstart\n```\n", "which nobody runs"),
        ("```sh\necho one 2\n```\n```text\none two\n```\n", "it says\none two"),
        ("```text\none two\n```\n", "stands behind no command"),
        ("<!-- not run: why -->\nText.\n", "a marker stands before no block"),
        ("<!-- not run `falls`: why -->\n```sh\ntrue\n```\n", "no command begins with 'falls'"),
        ("<!-- not run: why -->\n```bash\nif then\n```\n", "parsed alone\nends with"),
    ],
)
def test_one_that_does_not_is_told(text, said, tmp_path, monkeypatch):
    assert said in work(text, tmp_path, monkeypatch)


def test_the_environment_is_made_as_the_readme_says():
    """So that its lines for that need not be run once more."""
    readme, makefile = (ROOT / name for name in ("README.md", "Makefile"))
    said = "python3 -m venv .venv && . .venv/bin/activate && pip install -r requirements.txt\n"
    assert said in readme.read_text()
    made = makefile.read_text()
    recipe = made.partition("\n$(USERS):")[2].partition("\n\n")[0]
    assert "$(BIN)/python -m pip install -r requirements.txt" in recipe
    assert recipe.count("pip install") == 1
    assert "commands: $(USERS)\n" in made
    run = (ROOT / ".ci/run").read_text()
    assert run.index("rm -rf .venv\n") < run.index("\nmake commands\n") < run.index("\nmake test\n")
