"""Networks on the Hugging Face Hub: pushed whole or not at all, read again to the bit, and no secret told."""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import attrs
import pytest
import torch
import yaml
from flask import Response

import thalweg
from hub_stand_in import Account, hub_stand_in, sha256
from secret_sweep import assert_absent
from thalweg import ConfigError, DataError, FlowNetwork
from thalweg.checkpoint import MANIFEST
from thalweg.cli.main import main
from thalweg.config import parse_recorded, read_recorded, recorded_text
from thalweg.documents import parse_document, write_document
from thalweg.hub import push
from thalweg.passport import Passport, read_passport
from thalweg.storage import Location, MissingError, retrying
from thalweg.storage.stores import filesystems
from thalweg.training.trainer import Trainer
from tiny_runs import tiny

ADA, BEA, GUEST = "hf_adasowntoken", "hf_beasowntoken", "hf_nobodystoken"
REPOSITORY = "ada/tiny"
URL = f"hf://{REPOSITORY}"

# huggingface_hub uploads by an argument of httpx that has a newer name.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture(scope="module")
def server():
    with hub_stand_in() as found:
        yield found


@pytest.fixture
def hub(server, tmp_path, monkeypatch):
    """The Hub, empty, with Ada logged in."""
    from huggingface_hub import constants

    server.accounts.clear()
    server.accounts |= {ADA: Account("ada", ("ada", "lab")), BEA: Account("bea", ("bea",))}
    for kept in (server.repositories, server.large, server.requests, server.faults):
        kept.clear()
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no token"))
    monkeypatch.setattr(retrying, "sleep", lambda _: None)
    monkeypatch.setattr(filesystems, "_open", {})
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", ADA)
    for name in ("THALWEG_OFFLINE", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    return server


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run with two averages, its model and checkpoints."""
    folder = tmp_path_factory.mktemp("runs") / "tiny"
    averages = {"average": {"decay": [0.9, 0.5], "warmup": False}}
    Trainer(tiny(steps=2, checkpoint_every=1, validate_every=0, **averages), folder, quiet=True).train()
    return folder


@pytest.fixture
def run(trained, tmp_path):
    return Path(shutil.copytree(trained, tmp_path / "run"))


def passport_of(run, path, **subject):
    """A passport that says of the run's network what nobody has measured."""
    digest = json.loads((run / "model/model.json").read_text())["sha256"]
    number = {"metric": "frechet_distance", "features": "lite0", "extractor": "lite0 by somebody"}
    Passport(
        numbers={
            "fd_lite0": {"value": 8.25, **number, "better": "lower"},
            "spread_lite0": {"value": 2.0, **number, "better": None},
        },
        conditions={
            "protocol": {"name": "quick", "version": 3},
            "count": 500,
            "crop": "none",
            "sampling": {"sampler": {"type": "euler", "steps": 2}, "guidance": {"type": "cfg", "scale": 1.5}},
            "reference": {"images": {"kind": "dataset", "data": {"type": "digits"}}},
        },
        subject={"what": str(run.absolute()), "checkpoint": digest, "nfe": 4.0, **subject},
        protocol={"name": "quick", "version": 3, "changed": []},
        software={"python": "3.11.0", "packages": {"torch": "2.0"}, "plugins": {"thalweg-core": "0.0.1"}},
        machine={"device": "cpu"},
        made="2026-01-01T00:00:00+00:00",
    ).write(path)
    return path


def samples_of(network):
    return thalweg.sample(network, indices=range(3), labels=[1, 2, 3], device="cpu", precision="32-true").x


def asked(hub, method):
    return [path for how, path, _ in hub.requests if how == method]


def front_matter(card):
    return yaml.safe_load(card.split("---\n")[1])


def other(network):
    """The same with other weights."""
    with torch.no_grad():
        next(network.parameters()).add_(1.0)
    return network


def test_a_run_is_pushed_in_one_commit_and_read_again_elsewhere(hub, run, tmp_path, capfd):
    passport_of(run, run / "quick.json")
    assert main(["--debug", "push", str(run), URL, "--license", "apache-2.0", "--message", "first"]) == 0
    said = capfd.readouterr()
    repository = hub.repositories[REPOSITORY]
    assert repository.messages == ["initial commit", "first"]
    files = hub.files(REPOSITORY)
    assert set(files) == {
        *(".gitattributes", "model.json", "model.safetensors", "config.toml", "metrics.jsonl", "README.md"),
        "passports/quick.json",
    }
    assert files["model.safetensors"] == (run / "model/model.safetensors").read_bytes()
    assert parse_recorded(files["config.toml"]) == read_recorded(run / "config.toml")
    assert f"{URL}@main: {hub.url}/{REPOSITORY}/commit/{repository.branches['main']}" in said.out
    # Nothing tells where it was made, or by whose token.
    texts = [content for name, content in files.items() if name != "model.safetensors"]
    assert not any(str(tmp_path).encode() in one for one in texts)
    assert_absent(ADA, run, texts=[*files.values(), said.out, said.err, *asked(hub, "POST")])

    script = (
        "import sys, thalweg, torch; from thalweg import sample; from safetensors.torch import save_file\n"
        f"net = thalweg.FlowNetwork.from_pretrained({REPOSITORY!r})\n"
        "x = sample(net, indices=range(3), labels=[1, 2, 3], device='cpu', precision='32-true').x\n"
        "save_file({'x': x}, sys.argv[1])"
    )
    (tmp_path / "home").mkdir()
    fresh = {"XDG_CACHE_HOME": str(tmp_path / "empty"), "HF_HOME": str(tmp_path / "home")}
    environment = {**os.environ, **fresh, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}
    subprocess.run([sys.executable, "-c", script, tmp_path / "x"], env=environment, check=True, timeout=240)
    from safetensors.torch import load_file

    assert torch.equal(load_file(tmp_path / "x")["x"], samples_of(thalweg.load(run)))
    assert_absent(ADA, tmp_path / "empty", tmp_path / "home")


def test_the_card_says_what_the_network_and_its_passports_say(hub, run):
    passport_of(run, run / "quick.json")
    push(run, URL)
    card = hub.files(REPOSITORY)["README.md"].decode()
    head = front_matter(card)
    assert "license" not in head
    assert head["library_name"] == "thalweg"
    assert {"thalweg", "dit", "vera"} <= set(head["tags"])
    (result,) = head["model-index"][0]["results"]
    assert result["task"] == {"type": "class-conditional-image-generation"}
    (metric,) = result["metrics"]
    assert (metric["type"], metric["value"]) == ("fd_lite0", 8.25)
    assert metric["args"] == {
        "samples": "500", "sampler": "euler (steps 2)", "guidance": "cfg (scale 1.5)", "NFE of a sample": "4",
    }  # fmt: skip
    network = thalweg.load(run)
    count = sum(one.numel() for one in network.parameters())
    assert f"| parameters | {count:,} |" in card
    assert "| training steps | 2 |" in card
    assert "| average of the weights | ema 0.9 |" in card
    assert "| `fd_lite0` | 8.25 | lower | lite0 by somebody |" in card
    assert "| guidance | cfg (scale 1.5) |" in card
    assert "### Protocol quick, version 3\n" in card
    assert "thalweg-core 0.0.1, torch 2.0, Python 3.11.0" in card
    assert "fid" not in card.lower()
    assert f"thalweg sample {URL} samples/tiny count=4" in card
    assert "pip install 'thalweg-core[hub]' thalweg-backbones thalweg-refiners" in card
    python = card.split("```python\n")[1].split("```")[0]
    names = {}
    exec(python, names)
    assert names["samples"].x.shape == (4, 1, 8, 8)


def test_a_card_without_passports_states_no_number(hub, run):
    push(run / "model", f"{URL}@dev", license="mit")
    card = hub.files(REPOSITORY, "dev")["README.md"].decode()
    assert front_matter(card)["license"] == "mit"
    assert "model-index" not in front_matter(card)
    assert "None: no evaluation of these weights" in card
    assert f'thalweg.load("{URL}@dev")' in card
    assert set(hub.files(REPOSITORY)) == {".gitattributes"}


def test_branches_commits_and_tags_are_distinguished_and_move(hub, run):
    first = thalweg.load(run)
    commit = push(run, URL).commit
    hub.repositories[REPOSITORY].tags["v1"] = commit
    assert FlowNetwork.from_pretrained(REPOSITORY, revision=commit).push_to_hub(REPOSITORY, branch="a/b")
    changed = other(thalweg.load(run))
    changed.push_to_hub(REPOSITORY, message="second")
    for revision in (None, "main"):
        found = FlowNetwork.from_pretrained(REPOSITORY, revision=revision)
        assert torch.equal(samples_of(found), samples_of(changed))
    for url in (f"{URL}@v1", f"{URL}@{commit}", f"{URL}@a%2Fb"):
        assert torch.equal(samples_of(thalweg.load(url)), samples_of(first))
    # What the first push had, and is not true of the second network, is gone.
    assert set(hub.files(REPOSITORY)) == {".gitattributes", "model.json", "model.safetensors", "README.md"}
    assert thalweg.load(URL).sampling == first.sampling


def test_tensors_are_brought_once(hub, run):
    push(run, URL)
    thalweg.load(URL)
    hub.requests.clear()
    push(run, URL, message="no change", with_card=False)
    thalweg.load(URL)
    assert not [path for path in asked(hub, "GET") if path.endswith(".safetensors")]
    # All that is asked of a load is of one commit, whatever becomes of the branch.
    head = hub.repositories[REPOSITORY].branches["main"]
    read = [path for path in asked(hub, "GET") if "/resolve/" in path]
    assert read
    assert all(f"/resolve/{head}/" in path for path in read)


def test_damaged_tensors_are_refused(hub, run):
    files = {name: (run / "model" / name).read_bytes() for name in ("model.json", "model.safetensors")}
    files["model.safetensors"] = files["model.safetensors"][:-1] + b"\1"
    hub.repository(REPOSITORY, files)
    with pytest.raises(DataError, match=r"model.safetensors is damaged or another file: its SHA-256 is"):
        thalweg.load(URL)


def test_a_private_repository_is_read_by_who_may(hub, run, tmp_path, monkeypatch):
    assert push(run, URL, private=True).created
    assert hub.repositories[REPOSITORY].private
    thalweg.load(URL)
    for number, (token, fault) in enumerate(
        [
            ("", "may not be read; check the name"),
            (BEA, "may not be read"),
            (GUEST, r"not be accessed \(401\)"),
        ]
    ):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / f"cache{number}"))
        monkeypatch.setenv("HF_TOKEN", token)
        with pytest.raises(DataError, match=fault) as caught:
            thalweg.load(URL)
        assert token not in str(caught.value) or not token
        FlowNetwork.from_pretrained(REPOSITORY, token=ADA)
    monkeypatch.setenv("HF_TOKEN", ADA)
    with pytest.raises(DataError, match="is private"):
        FlowNetwork.from_pretrained(REPOSITORY, token=False)


def test_a_gated_repository_says_whom_to_ask(hub, run, monkeypatch):
    hub.repository(REPOSITORY, gated=True)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(DataError, match="before its owner has granted access; ask on its page"):
        thalweg.load(URL)


@pytest.mark.parametrize(
    ("url", "kind", "fault"),
    [
        ("hf://ada/empty", DataError, "hf://ada/empty holds no network; give a saved one"),
        ("hf://ada/words", DataError, "hf://ada/words holds no network"),
        ("hf://ada/none", MissingError, "hf://ada/none does not exist, or is private and may not be read"),
        ("hf://ada/empty@none", MissingError, "the repository has no such branch, tag or commit"),
        ("hf://ada", ConfigError, "hf://ada names no repository of the Hub; write hf://owner/name"),
        ("hf://ada/a--b", ConfigError, "names no repository"),
        ("hf://ada/empty@", ConfigError, "names no repository"),
    ],
)
def test_what_is_no_network_is_named(hub, url, kind, fault):
    hub.repository("ada/empty")
    hub.repository("ada/words", {"config.json": b"{}", "model.safetensors": b"x"})
    with pytest.raises(kind, match=fault):
        thalweg.load(url)


def test_names_that_are_no_names(hub):
    for name in ("tiny", "ada/tiny/more", "hf://ada/tiny", "./run"):
        with pytest.raises(ConfigError, match="write owner/name"):
            FlowNetwork.from_pretrained(name)


def test_a_repository_that_is_called_like_a_run_has_its_model(hub, run):
    push(run, "hf://ada/model")
    assert torch.equal(samples_of(thalweg.load("hf://ada/model")), samples_of(thalweg.load(run)))
    with pytest.raises(DataError, match=r"has no average '0.1'"):
        thalweg.load("hf://ada/model", average="0.1")
    thalweg.load("hf://ada/model", average="0.9")


def test_commands_take_it_where_they_take_a_network(hub, run, tmp_path, capsys):
    push(run, URL)
    out = ["count=2", "--labels", "3", "--device", "cpu"]
    assert main(["sample", URL, str(tmp_path / "hub"), *out]) == 0
    assert main(["sample", str(run), str(tmp_path / "here"), *out]) == 0
    sampled = [(tmp_path / name / "samples.safetensors").read_bytes() for name in ("hub", "here")]
    assert sampled[0] == sampled[1]
    assert main(["sample", "hf://ada", str(tmp_path / "x")]) == 2
    assert main(["sample", "hf://ada/none", str(tmp_path / "x")]) == 4
    assert "hf://ada/none does not exist" in capsys.readouterr().err


@pytest.mark.parametrize("variable", ["THALWEG_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_what_is_here_is_used(hub, run, monkeypatch, variable):
    push(run, URL)
    before = samples_of(thalweg.load(URL))
    monkeypatch.setenv(variable, "1")
    hub.requests.clear()
    assert torch.equal(samples_of(thalweg.load(URL)), before)
    thalweg.load(URL, average="0.9")
    with pytest.raises(MissingError, match=rf"{variable} is set, so nothing is downloaded.* load it once"):
        thalweg.load("hf://ada/another")
    with pytest.raises(DataError, match=f"{variable} is set, so nothing is requested from the Hub; unset it"):
        push(run, URL)
    assert hub.requests == []


def test_without_a_network_one_sentence_says_so(hub, run, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    for call in (lambda: thalweg.load(URL), lambda: push(run, URL)):
        with pytest.raises(DataError, match=r"hf://ada/tiny.*refused") as caught:
            call()
        assert "\n" not in str(caught.value)


def test_without_the_package_its_extra_is_named(hub, run, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    for call in (lambda: thalweg.load(URL), lambda: push(run, URL)):
        with pytest.raises(ConfigError, match=r"not installed: pip install 'thalweg-core\[hub\]'"):
            call()


@pytest.mark.parametrize(
    ("url", "fault"),
    [
        ("ada/tiny", "is no repository of the Hub; write hf://owner/name"),
        ("s3://ada/tiny", "is no repository of the Hub"),
        ("hf://tiny", "names no repository"),
        ("hf://datasets/ada/tiny", "is no repository of a model"),
        ("hf://ada/tiny/folder", "is no repository of a model"),
        (f"hf://ada/tiny@{'a' * 40}", "only to a branch can be pushed"),
        ("hf://ada/tiny@refs/pr/1", "only to a branch can be pushed"),
    ],
)
def test_where_nothing_can_be_pushed(hub, run, url, fault, capsys):
    assert main(["push", str(run), url]) == 2
    assert fault in capsys.readouterr().err
    assert hub.requests == []


@pytest.mark.parametrize(
    ("token", "url", "fault"),
    [
        ("", URL, "nobody is logged in to the Hub; set HF_TOKEN"),
        (GUEST, URL, "the Hub does not accept the token (401)"),
        (BEA, URL, "the token may not write to ada/tiny (403)"),
        (BEA, "hf://ada/public", "the token may not write to ada/public (403)"),
        (ADA, "hf://ada/public@v1", "is a tag, which stays where it is; name a branch"),
    ],
)
def test_who_may_not_push(hub, run, monkeypatch, capsys, token, url, fault):
    public = hub.repository("ada/public")
    public.tags["v1"] = public.branches["main"]
    monkeypatch.setenv("HF_TOKEN", token)
    assert main(["--debug", "push", str(run), url]) == 4
    said = capsys.readouterr()
    assert fault in said.err
    assert list(hub.repositories) == ["ada/public"]
    assert len(hub.repositories["ada/public"].commits) == 1
    if token:
        assert_absent(token, texts=[said.err, said.out])


def test_what_cannot_be_pushed(hub, run, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="empty holds no network; give a run"):
        push(tmp_path / "empty", URL)
    with pytest.raises(DataError, match=r"has no average '0.1' \(it is 0.9\)"):
        push(run, URL, average="0.1")
    foreign = passport_of(run, tmp_path / "foreign.json", checkpoint="0" * 64)
    with pytest.raises(DataError, match="is of another network than the one that is pushed"):
        push(run, URL, passports=[foreign])
    with pytest.raises(DataError, match="is no passport"):
        push(run, URL, passports=[run / "model/model.json"])
    file = run / "model/model.json"
    description = parse_document(file.read_bytes(), sealed=True)
    record = {"mine.py": {"sha256": "0" * 64, "components": ["refiner mine"]}}
    write_document(file, {**description, "plugin_files": record}, sealed=True)
    with pytest.raises(
        ConfigError, match=r"needs the plugin file mine.py, and code of a repository is never run"
    ):
        push(run, URL)
    assert hub.repositories == {}


def test_a_public_repository_does_not_become_private(hub, run):
    hub.repository(REPOSITORY)
    with pytest.raises(ConfigError, match="exists and is public; leave out --private"):
        push(run, URL, private=True)


def test_a_dry_run_sends_nothing(hub, run, monkeypatch, capsys):
    passport_of(run, run / "quick.json")
    assert main(["push", str(run), URL, "--dry-run", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["url"], told["created"], told["commit"]) == (f"{URL}@main", True, "")
    assert told["files"]["model.safetensors"] == (run / "model/model.safetensors").stat().st_size
    assert "passports/quick.json" in told["files"]
    assert asked(hub, "POST") == asked(hub, "PUT") == []
    assert hub.repositories == {}
    monkeypatch.setenv("HF_TOKEN", GUEST)
    with pytest.raises(DataError, match="401"):
        push(run, URL, dry_run=True)
    monkeypatch.setenv("THALWEG_OFFLINE", "1")
    hub.requests.clear()
    assert set(push(run, URL, dry_run=True).files) == set(told["files"])
    assert hub.requests == []


@pytest.mark.parametrize("where", ["PUT /lfs/", "POST .*/preupload/", "POST .*/commit/", "POST .*/batch"])
def test_a_failed_upload_leaves_no_half_commit(hub, run, where):
    before = push(run, URL).commit
    hub.large.clear()
    hub.spoil(where, lambda: Response("no", 400))
    with pytest.raises(DataError, match=r"400.*nothing of it was committed"):
        other(thalweg.load(run)).push_to_hub(REPOSITORY)
    assert hub.repositories[REPOSITORY].branches["main"] == before
    hub.faults.clear()
    assert torch.equal(samples_of(thalweg.load(URL)), samples_of(thalweg.load(run)))


def test_a_branch_that_moves_meanwhile_is_not_overwritten(hub, run):
    push(run, URL)
    moved = hub.repositories[REPOSITORY]
    hub.spoil("POST .*/preupload/", lambda: moved.commit("main", {"theirs": b"1"}, "theirs") and None)
    with pytest.raises(DataError, match="was changed by somebody else meanwhile; look at it, and push again"):
        other(thalweg.load(run)).push_to_hub(REPOSITORY)
    assert hub.files(REPOSITORY) == {"theirs": b"1"}


def test_a_push_that_is_killed_leaves_no_half_commit(hub, run, tmp_path):
    arrived, end = threading.Event(), threading.Event()

    def stall():
        arrived.set()
        end.wait(60)

    hub.spoil("PUT /lfs/", stall)
    fresh = {"HF_HOME": str(tmp_path / "home"), "TMPDIR": str(tmp_path)}
    environment = {**os.environ, **fresh, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}
    process = subprocess.Popen([sys.executable, "-m", "thalweg", "push", str(run), URL], env=environment)
    try:
        assert arrived.wait(240)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
    finally:
        process.kill()
        end.set()
    assert hub.repositories[REPOSITORY].messages == ["initial commit"]
    assert not [one for one in tmp_path.iterdir() if one.name.startswith("tmp")]


def test_a_checkpoint_and_another_average_are_pushed_as_networks(hub, run):
    push(run, URL, average="0.5")
    half = thalweg.load(URL)
    assert torch.equal(samples_of(half), samples_of(thalweg.load(run, average="0.5")))
    assert "| average of the weights | ema 0.5 |" in hub.files(REPOSITORY)["README.md"].decode()
    for folder in ("model", "model-0.5"):
        shutil.rmtree(run / folder)
    for average in ("0.5", None):
        push(run, URL, average=average)
        files = hub.files(REPOSITORY)
        assert not {MANIFEST, "optimizer.safetensors"} & set(files)
        description = json.loads(files["model.json"])
        assert description["run"] == {"name": "tiny", "seed": 3, "step": 2, "average": average or "0.9"}
        found = thalweg.load(URL)
        assert torch.equal(samples_of(found), samples_of(thalweg.load(run, average=average)))
    assert not torch.equal(samples_of(found), samples_of(half))


def test_passports_of_these_weights_go_along(hub, run, tmp_path, capsys):
    passport_of(run, run / "quick.json")
    (run / "evaluation").mkdir()
    passport_of(run, run / "evaluation/quick.json", nfe=6.0)
    passport_of(run, run / "early.json", checkpoint="0" * 64)
    named = passport_of(run, tmp_path / "elsewhere.json", what="samples.npz")
    assert main(["push", str(run), URL, "--passport", str(named)]) == 0
    assert (
        "early.json is of other weights than those that are pushed, and is left out"
        in capsys.readouterr().err
    )
    names = {"passports/quick.json", "passports/quick-2.json", "passports/elsewhere.json"}
    assert {one for one in hub.files(REPOSITORY) if one.startswith("passports/")} == names
    sent = tmp_path / "sent.json"
    sent.write_bytes(hub.files(REPOSITORY)["passports/quick.json"])
    theirs, ours = read_passport(sent), read_passport(run / "quick.json")
    assert theirs == attrs.evolve(ours, subject={**ours.subject, "what": "run"})
    # Those of a former push, which are not of these weights, do not stay.
    (run / "quick.json").unlink()
    hub.files(REPOSITORY)["README.md"] = b"# by hand\n"
    push(run, URL, with_card=False)
    assert hub.files(REPOSITORY)["README.md"] == b"# by hand\n"
    assert "passports/elsewhere.json" not in hub.files(REPOSITORY)
    assert "passports/quick.json" in hub.files(REPOSITORY)


def test_paths_of_this_machine_stay_here(hub, run, tmp_path):
    config = read_recorded(run / "config.toml")
    config["data"] = {"type": "images", "source": {"type": "folder", "url": f"{tmp_path}/pictures"}}
    config["name"] = "tiny"
    (run / "config.toml").write_text(recorded_text(config))
    push(run, URL)
    assert parse_recorded(hub.files(REPOSITORY)["config.toml"])["data"]["source"]["url"] == "pictures"
    thalweg.load(URL)
    config["data"]["source"]["url"] = "hf://datasets/ada/pictures/train"
    (run / "config.toml").write_text(recorded_text(config))
    push(run, URL)
    assert front_matter(hub.files(REPOSITORY)["README.md"].decode())["datasets"] == ["ada/pictures"]
    config["note"] = f"made in {tmp_path}/run"
    (run / "config.toml").write_text(recorded_text(config))
    with pytest.raises(thalweg.ThalwegError, match=r"config.toml holds the path .* of this machine"):
        push(run, URL)


def test_files_of_a_repository_as_of_any_storage(hub):
    content = bytes(range(256)) * 8
    hub.repository("ada/files", {"a/b.txt": b"hello there", "a/c/d.bin": content, "empty.txt": b""})
    folder = Location("hf://ada/files")
    assert folder.is_dir()
    assert (folder / "a").children() == ["b.txt", "c"]
    assert [one.relative(folder) for one in (folder / "a").find()] == ["a/b.txt", "a/c/d.bin"]
    file, large = folder / "a/b.txt", folder / "a/c/d.bin"
    assert file.read(6, 11) == b"there"
    assert (folder / "empty.txt").read() == b""
    assert large.read(250, 260) == content[250:260]
    assert large.about().size == len(content)
    assert large.version() == sha256(content)
    assert large.read(version=large.version()) == content
    assert large.pinned().read() == content
    before, pinned = file.version(), file.pinned()
    hub.repositories["ada/files"].commit("main", {"a/b.txt": b"another text"}, "moved")
    assert file.read() == b"another text"
    assert pinned.read() == b"hello there"
    with pytest.raises(DataError, match="was replaced while it was read"):
        file.read(version=before)
    assert not (folder / "a/none").exists()
    with pytest.raises(MissingError, match="hf://ada/files/a/none does not exist"):
        (folder / "a/none").read()


def test_a_busy_hub_is_asked_again(hub):
    hub.repository("ada/files", {"x.txt": b"hello"})
    answers = iter([Response("busy", 503), Response("busy", 429), None, None])
    hub.spoil("GET .*/resolve/", lambda: next(answers))
    assert Location("hf://ada/files/x.txt").read() == b"hello"
