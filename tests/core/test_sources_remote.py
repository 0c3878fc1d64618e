"""Sources that are not on this disk: in fsspec's memory, and behind a web server on loopback."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from image_makers import every_source, idx_folder, image_folder, image_tars
from thalweg.data.sources import source_of
from thalweg.data.sources.braces import expanded
from thalweg.errors import ConfigError, DataError
from thalweg.storage import Location

NAMES = {"folder": "images", "tar": "tars", "idx": "idx", "captioned": "captioned"}


@pytest.fixture
def memory(tmp_path):
    """The same files here and in fsspec's memory."""
    every_source(tmp_path)
    root = Location("memory://images-of-a-test")
    for path in tmp_path.rglob("*"):
        if path.is_file():
            (root / path.relative_to(tmp_path).as_posix()).write(path.read_bytes())
    yield root
    root.remove()


def same(first, second):
    assert len(first) == len(second) >= 1
    for index in range(len(first)):
        ours, theirs = first[index], second[index]
        assert (ours.key, ours.label, ours.captions) == (theirs.key, theirs.label, theirs.captions)
        assert np.array_equal(ours.image, theirs.image)


@pytest.mark.parametrize("name", NAMES)
def test_a_source_in_memory_is_the_one_on_disk(memory, tmp_path, name):
    here, there = source_of(str(tmp_path / NAMES[name])), source_of(f"{memory}/{NAMES[name]}")
    same(here, there)
    assert here.identity == there.identity


def test_a_pattern_of_remote_tars(memory, tmp_path):
    same(source_of(f"{memory}/tars/part-{{00..01}}.tar"), source_of(str(tmp_path / "tars")))


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@pytest.fixture
def web(tmp_path):
    """The address of a web server for ``tmp_path``; it ignores ranges, as simple ones do."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_idx_files_and_tars_come_over_http(web, tmp_path):
    idx_folder(tmp_path / "idx")
    image_tars(tmp_path / "tars")
    same(source_of(f"{web}/idx", type="idx", part="test"), source_of(str(tmp_path / "idx"), part="test"))
    same(source_of(f"{web}/tars/part-00.tar"), source_of(str(tmp_path / "tars/part-00.tar")))
    with pytest.raises(DataError, match="there is no train-images-idx3-ubyte"):
        source_of(f"{web}/tars", type="idx")


def test_hidden_folders_that_a_server_lists_are_skipped(web, tmp_path):
    image_folder(tmp_path / "images", each=1)
    (tmp_path / "images/.ipynb_checkpoints").mkdir()
    (tmp_path / "images/.ipynb_checkpoints/0.png").write_bytes((tmp_path / "images/cat/000.png").read_bytes())
    found = source_of(f"{web}/images")
    same(found, source_of(str(tmp_path / "images")))
    assert found.class_names == ("cat", "dog", "newt")
    assert found.skipped == {"hidden or of a system": 1}


def test_a_server_is_not_asked_whether_a_tar_is_a_folder(tmp_path):
    asked = []

    class Asked(_Quiet):
        def do_GET(self):
            asked.append(self.path)
            super().do_GET()

    image_tars(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Asked, directory=tmp_path))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        assert len(source_of(f"http://127.0.0.1:{server.server_port}/part-00.tar")) == 6
    finally:
        server.shutdown()
        server.server_close()
    assert set(asked) == {"/part-00.tar"}


def test_what_a_url_hides_stays_hidden(web):
    url = f"{web}/x.tar?X-Amz-Signature=canary-canary"
    with pytest.raises(DataError) as error:
        source_of(url)
    assert "canary" not in str(error.value)
    with pytest.raises(ConfigError) as refused:
        expanded("https://me:canary-canary@host/{2..1}.tar?sig=canary-canary")
    assert "canary" not in str(refused.value)
