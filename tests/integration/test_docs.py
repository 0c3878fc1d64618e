"""The documentation is true: its code runs; its commands, links, names and tables are those there are."""

import contextlib
import importlib
import inspect
import io
import pkgutil
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
from docs.site.links import dead as dead_links
from docs.site.pages import pages as site_pages
from safetensors.torch import save_file

import thalweg
import thalweg.plugins
from golden_files import golden
from plugin_makers import site_at
from thalweg import hookspecs
from thalweg.cli.fields import describe_fields
from thalweg.cli.main import cli, main
from thalweg.config import apply_override, load_config
from thalweg.generation.settings import sample_settings
from thalweg.plugins import KINDS
from thalweg.plugins.distributions import BUILT_IN
from thalweg.plugins.process import for_one_command, use_file
from thalweg_authoring import Subject, rules_of
from thalweg_authoring.scaffold import template_kinds
from thalweg_eval.ablation.config import read_ablation
from thalweg_eval.evaluation.protocol import features_for, read_protocol
from thalweg_eval.quickstart.flow import Settings

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "packages").glob("*/README.md")),
]
PLUGINS = ROOT / "docs" / "plugins.md"
STABILITY = ROOT / "docs" / "stability.md"
READ_THROUGH = [ROOT / "docs" / "start.md", *(ROOT / "docs" / "tutorials").glob("*.md")]  # test_tutorials.py


def name_of(page):
    return str(page.relative_to(ROOT))


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def with_blocks(language, but=()):
    return [page for page in PAGES if page not in but and blocks(page, language)]


def slug(heading):
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_and_paths_lead_somewhere(page):
    text = page.read_text()
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if target.startswith(("https://", "http://")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", linked.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), target
    named = re.findall(r"recipes/[\w./-]+\.toml", text) + re.findall(r"`((?:tests|docs)/[\w./-]+)`", text)
    for path in named:
        assert (ROOT / path).exists(), path


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_names_in_the_text_are_names_of_the_code(page):
    for name in re.findall(r"`(thalweg(?:_\w+)?(?:\.\w+)+)(?:\([^`]*\))?`", page.read_text()):
        pkgutil.resolve_name(name)


@pytest.fixture
def workplace(tmp_path, monkeypatch):
    """A folder in which a reader might work: our recipes and a released checkpoint."""
    (tmp_path / "recipes").symlink_to(ROOT / "recipes")
    save_file(golden("deepflow_2t").weights, tmp_path / "deepflow.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", with_blocks("python", but=[PLUGINS, *READ_THROUGH]), ids=name_of)
def test_python_runs_and_prints_what_it_says(page, workplace):
    code = "\n".join(blocks(page, "python"))
    printed = io.StringIO()
    # What a page registers is gone afterwards.
    with contextlib.redirect_stdout(printed), for_one_command():
        exec(compile(code, str(page), "exec"), {"__name__": "documentation"})
    said = re.findall(r"^print\(.*\)  # (.*)$", code, re.MULTILINE)
    lines = printed.getvalue().splitlines()
    assert not said or lines == said


@pytest.mark.parametrize("page", with_blocks("toml", but=[PLUGINS]), ids=name_of)
def test_toml_is_valid(page):
    for block in blocks(page, "toml"):
        tomllib.loads(block)


def test_the_readme_composes_in_fifteen_lines():
    composition, *files = blocks(ROOT / "README.md", "python")
    assert all(re.match(r"# \w+\.py\n", one) for one in files)
    assert len([line for line in composition.splitlines() if line.strip()]) <= 15


def walked(words):
    """Context of the command that words after ``thalweg`` name, words left over, options known."""
    # With the root's own settings: click keeps what --help is called at the first look.
    command, left = cli, list(words)
    ctx = click.Context(cli, info_name="thalweg", **cli.context_settings)
    known = {"--help", "-h"}
    while True:
        known |= {option for one in command.params for option in one.opts}
        while left and left[0].startswith("-") and isinstance(command, click.Group):
            assert left[0] in known, f"{words}: there is no option {left[0]}"
            left = left[2:] if left[0] == "-p" else left[1:]
        if not isinstance(command, click.Group) or not left or not left[0].islower():
            return ctx, left, known
        below = command.get_command(ctx, left[0])
        assert below is not None, f"{words}: there is no command {left[0]}"
        command, left, ctx = below, left[1:], click.Context(below, info_name=left[0], parent=ctx)


def commands(page):
    scripts = [block.replace("\\\n", " ") for block in blocks(page, "bash")]
    for block in [*blocks(page, "sh"), *scripts]:
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            if "thalweg" in [Path(word).name for word in words]:  # behind srun, torchrun or uv run
                start = [Path(word).name for word in words].index("thalweg")
                end = words.index(">") if ">" in words else len(words)
                yield words[start + 1 : end]


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_every_block_is_of_a_language_that_a_test_takes(page):
    tested = {"python", "toml", "sh", "bash"}
    shown = {"text", "bibtex"}  # what is printed, or typed with other credentials than a test has
    assert set(re.findall(r"^```(\w+)$", page.read_text(), re.MULTILINE)) <= tested | shown


@pytest.mark.parametrize("page", [*with_blocks("bash"), *with_blocks("sh")], ids=name_of)
def test_commands_take_what_they_are_given(page, tmp_path):
    files = dict(
        re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    )
    for words in commands(page):
        with for_one_command():
            for name in [word for word in words if word in files]:  # behind -p
                (tmp_path / name).write_text(files[name])
                use_file(tmp_path / name)
            check_command(words)


def check_command(words):
    ctx, left, _ = walked(words)
    if isinstance(ctx.command, click.Group):
        return  # nothing but options of the root, which walked() has checked
    given = ctx.command.make_context(ctx.info_name, left, parent=ctx.parent).params
    if ctx.info_name == "ablate":
        options = {name: given[name] for name in ("axes", "overrides", "seeds", "protocol", "times")}
        read_ablation(ROOT / given["recipe"], **options)
    elif "recipe" in given:
        # Tutorials write recipes of their own, which test_tutorials.py runs.
        if (ROOT / given["recipe"]).exists() and "mixer" not in str(given):
            load_config(ROOT / given["recipe"], given["overrides"])
    elif ctx.info_name == "sample":
        sample_settings({}, given["settings"])
    elif ctx.info_name == "evaluate":
        metrics = given["metrics"]
        features = features_for(metrics.split(","), given["extractor"]) if metrics else None
        read_protocol(given["protocol"], given["settings"], features)
    elif ctx.info_name == "new":
        assert given["kind"] in template_kinds()
        return
    elif ctx.info_name == "check" and len(given["what"]) > 1 and "ripple" not in given["what"]:
        kind, name, *options = given["what"]
        overrides: dict[str, object] = {}
        for override in options:
            apply_override(overrides, override)
        assert Subject(kind, name, overrides).config()
        assert set(given["rules"]) <= {rule.name for rule in rules_of(kind)}
    if "kind" in given and given.get("name") and given["name"] != "mixer":
        assert thalweg.registry().config_class(given["kind"], given["name"])


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_commands_in_the_text_exist(page):
    for text in re.findall(r"`thalweg ([^`]+)`", page.read_text()):
        _, left, known = walked(text.split())
        options = {word for word in left if word.startswith("-") and not word.strip("-").isupper()}
        assert options <= known, text


def test_the_quick_start_takes_one_time():
    texts = [(ROOT / page).read_text() for page in ("README.md", "docs/start.md")]
    ctx = click.Context(cli, info_name="thalweg", **cli.context_settings)
    texts += [cli.get_command(ctx, "quickstart").help, inspect.getdoc(Settings)]
    times = [
        re.findall(r"(?i)takes? (less\s+than\s+\w+\s+minutes)\s+on\s+two\s+cores", text) for text in texts
    ]
    assert times == [["less than five minutes"]] * 4


def test_make_targets_exist():
    targets = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    for page in PAGES:
        named = set(re.findall(r"`make ([\w-]+)`", page.read_text()))
        named |= {
            line.split()[1]
            for block in blocks(page, "sh")
            for line in re.findall(r"^make [\w-]+", block, re.M)
        }
        assert named <= set(targets), page


def test_every_component_is_listed():
    rows = re.findall(
        r"^\| (\w+) \| `([\w-]+)` \| .* \| (\w+) \|$", (ROOT / "docs/components.md").read_text(), re.M
    )
    ours = {
        (one.kind, one.name, one.origin.distribution.removeprefix("thalweg-"))
        for one in thalweg.registry()
        if one.origin.distribution in BUILT_IN
    }
    assert len(rows) == len(set(rows))
    assert set(rows) == ours


def test_the_site_has_every_page_and_no_other():
    """What `make docs` builds; there, the links of the built site are checked too."""
    made = site_pages()
    nav = re.findall(r": ([\w/-]+\.md)$", (ROOT / "mkdocs.yml").read_text(), re.MULTILINE)
    assert sorted(nav) == sorted(made)
    for path, text in made.items():
        for target in re.findall(r"\]\(([^)\s#]+\.md)(?:#[\w-]+)?\)", text):
            assert str((ROOT / path).parent.joinpath(target).resolve().relative_to(ROOT)) in made, (
                path,
                target,
            )


def test_the_reference_describes_every_component_hook_and_command():
    made = site_pages()
    for one in thalweg.registry():
        if one.origin.distribution in BUILT_IN:
            page = made[f"reference/{one.kind}.md"]
            section = page.partition(f"\n## {one.name}\n")[2].partition("\n## ")[0]
            fields = describe_fields(thalweg.registry().config_class(one.kind, one.name))
            rows = re.findall(r"^\| `(\w+)` \| .+ \| .+ \| (.*) \|$", section, re.MULTILINE)
            assert [name for name, _ in rows] == [field.name for field in fields], one
            assert all(said for _, said in rows), (one, rows)
    for name in vars(hookspecs):
        assert (
            not name.startswith("thalweg_") or f"::: thalweg.hookspecs.{name}\n" in made["reference/hooks.md"]
        )
    for name in ("train", "import", "evaluate", *cli.list_commands(click.Context(cli))):
        assert f"\n## thalweg {name}\n" in made["reference/commands.md"]
    for name in set(thalweg.__all__) - {"__version__"}:
        assert re.search(rf"^::: [\w.]+\.{name}$", made["reference/python.md"], re.MULTILINE), name
    for page in made.values():
        for place in re.findall(r"^::: (\S+)$", page, re.MULTILINE):
            module, _, name = place.rpartition(".")
            assert hasattr(importlib.import_module(module), name), place


def test_a_link_that_leads_nowhere_is_found(tmp_path):
    (tmp_path / "a.html").write_text(
        '<h1 id="x"></h1><a href="b.html#y"></a><a href="#x"></a><img src="no.png">'
    )
    (tmp_path / "b.html").write_text('<a href="a.html#x"></a><a href="https://elsewhere.example/"></a>')
    assert dead_links(tmp_path) == ["a.html: b.html#y", "a.html: no.png"]


def test_every_hook_and_every_kind_is_described():
    text = PLUGINS.read_text()
    specs = {name: one for name, one in vars(hookspecs).items() if name.startswith("thalweg_")}
    for name, spec in specs.items():
        assert f"`{name}({', '.join(inspect.signature(spec).parameters)})`" in text
        assert f"def {name}(" in text, f"the example implements no {name}"
    table = text.partition("## Kinds")[2]
    for kind in KINDS:
        assert re.search(rf"^\| .*`{kind}`", table, re.MULTILINE), kind


def test_versions_are_those_there_are():
    text = STABILITY.read_text()
    assert f"api_version = {hookspecs.API_VERSION}\n" in text
    versions = re.findall(r"^\| (\d+) \| .* \|$", text.partition("## Versions")[2].partition("##")[0], re.M)
    assert versions == [str(version) for version in range(hookspecs.API_VERSION, 0, -1)]


@pytest.fixture
def skip_plugin(workplace):
    """The page's plugin, installed as pip would."""
    folder = workplace / "site"
    project = tomllib.loads(blocks(PLUGINS, "toml")[0])
    for block in [one for one in blocks(PLUGINS, "python") if one.startswith("# src/")]:
        path = folder / Path(block.splitlines()[0].removeprefix("# src/"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block)
    with site_at(folder) as site:
        entry_points = "".join(
            f"{name} = {module}\n" for name, module in project["project"]["entry-points"]["thalweg"].items()
        )
        name, version = project["project"]["name"], project["project"]["version"]
        metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        site.dist_info(name, f"[thalweg]\n{entry_points}", metadata)
        thalweg.plugins.block()
        yield workplace
    thalweg.plugins.block()


SMALL = [
    "backbone.width=16", "backbone.depth=2", "training.steps=3", "training.batch_size=8",
    "training.validate_every=0", "training.average.decay=0.0",
]  # fmt: skip


def typed_in(section):
    """The commands that a section of the page types."""
    text = PLUGINS.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0]
    return [shlex.split(line)[1:] for line in re.findall(r"^    thalweg .*$", text, re.MULTILINE)]


def test_the_file_of_the_page_works(workplace, capsys):
    (block,) = [one for one in blocks(PLUGINS, "python") if one.startswith("# mine.py")]
    (workplace / "mine.py").write_text(block, encoding="utf-8")
    check, train, sample = typed_in("One file")
    assert main([*check, "--rule", "its_config_is_frozen_and_hashable"]) == 0
    assert main([*train, *SMALL, "--device", "cpu", "--quiet"]) == 0
    assert main([*sample, "count=2", "sampler=euler", "sampler.steps=2", "--device", "cpu"]) == 0
    assert "thalweg_file_mine" in capsys.readouterr().out


def test_the_objects_of_the_page_are_what_it_says(workplace, capsys):
    (block,) = [one for one in blocks(PLUGINS, "python") if "networks/by-hand" in one]
    exec(compile(block, str(PLUGINS), "exec"), {"__name__": "documentation"})
    said = re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)
    assert capsys.readouterr().out.splitlines() == said


def test_the_plugin_of_the_page_works(skip_plugin, capsys):
    assert thalweg.registry().faults == []
    info, train, gates = typed_in("A complete package")
    assert main(info) == 0
    assert "thalweg-skip 1.0" in capsys.readouterr().out
    assert main([*train, *SMALL, "--device", "cpu", "--quiet"]) == 0
    assert (skip_plugin / "runs/skip/note.txt").read_text() == "complete at step 3\n"
    assert (skip_plugin / "runs/skip/saved.txt").read_text() == "step-00000003\n"
    capsys.readouterr()
    assert main(gates) == 0
    # Trained from zero, so the gates have moved.
    assert float(re.fullmatch(r"boundary 1: (.*)\n", capsys.readouterr().out)[1]) > 0
