"""The registry of public data: only files with the right hash get through. No network is used."""

import hashlib
import os
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pooch
import pytest
import requests
from studies import COMMIT, mirror_of, register

from forgetting import registry
from forgetting.home import data_dir

pytestmark = pytest.mark.public

FILES = {"docs/one.txt": b"first\n", "docs/玉山 100%.txt": "山高三九五二公尺\n".encode()}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def world(tmp_path, monkeypatch):
    """A registry with the set `tiny` of two files, an empty home, no mirror, and no network."""
    (tmp_path / "data").mkdir()
    register(tmp_path / "data", FILES)
    monkeypatch.setenv("FORGETTING_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("FORGETTING_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("FORGETTING_DATA_MIRROR", raising=False)
    monkeypatch.setattr(registry, "HOST", "http://127.0.0.1:9")  # nothing listens on `discard`
    for variable in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(variable, "127.0.0.1")
    return tmp_path


@pytest.fixture
def mirror(world, monkeypatch):
    monkeypatch.setenv("FORGETTING_DATA_MIRROR", str(world / "mirror"))
    return mirror_of(world / "mirror", FILES)


@pytest.fixture
def server(world, monkeypatch):
    """The data's home, on this machine: what is `served`, `asked` for, and `cut` off the end."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            _, _owner, _repo, commit, path = unquote(urlsplit(self.path).path).split("/", 4)
            self.server.asked[path] += 1
            body = self.server.served.get(path) if commit == COMMIT else None
            self.send_response(200 if body else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            self.wfile.write((body or b"")[: -self.server.cut or None])

        def log_message(self, *args):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as home:
        home.served, home.asked, home.cut = dict(FILES), Counter(), 0
        threading.Thread(target=home.serve_forever, args=[0.01], daemon=True).start()
        monkeypatch.setattr(registry, "HOST", f"http://127.0.0.1:{home.server_port}")
        yield home
        home.shutdown()


def files_under(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_the_mirror_is_used_in_place(mirror, world):
    assert registry.available("tiny")
    assert registry.fetch("tiny") == [mirror / path for path in FILES]
    assert registry.fetch("tiny", "docs/玉山 100%.txt") == [mirror / "docs/玉山 100%.txt"]
    assert not (world / "home").exists()


@pytest.mark.parametrize("content", [b"fIrst\n", b"fir", b"FIRST\nlater\n"])
def test_a_changed_file_is_found(mirror, content):
    """A flipped byte, half a file, and the file of another commit, also after a first fetch."""
    file, _ = registry.fetch("tiny")
    before = file.stat()
    file.write_bytes(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert registry.available("tiny") == (len(content) == before.st_size)
    with pytest.raises(registry.CorruptData) as error:
        registry.fetch("tiny")
    for part in (str(file), sha256(b"first\n"), sha256(content), "replace it by http"):
        assert part in str(error.value)
    assert registry.fetch("tiny", "docs/玉山 100%.txt"), "the other file is whole"


def test_a_commit_that_the_home_does_not_have_is_named(world, server):
    path = world / "data" / "registry.toml"
    path.write_text(path.read_text().replace(COMMIT, "f" * 40))
    with pytest.raises(registry.Unreachable, match="HTTPError"):
        registry.fetch("tiny")
    assert files_under(world / "home") == []


def test_a_file_is_hashed_once(mirror, monkeypatch):
    hashed = Counter()
    file_hash = pooch.file_hash
    monkeypatch.setattr(
        pooch, "file_hash", lambda path, alg: hashed.update([path]) or file_hash(path, alg)
    )
    for _ in range(3):
        registry.fetch("tiny")
    assert hashed == {str(mirror / path): 1 for path in FILES}


def test_a_download_is_kept_and_laid_out_as_a_mirror(server, world, monkeypatch):
    assert not registry.available("tiny")
    paths = registry.fetch("tiny")
    assert [path.read_bytes() for path in paths] == list(FILES.values())
    assert registry.available("tiny")
    assert registry.fetch("tiny") == paths
    assert server.asked == dict.fromkeys(FILES, 1)
    monkeypatch.setenv("FORGETTING_DATA_MIRROR", str(world / "home" / "data"))
    assert registry.fetch("tiny") == paths


def test_what_the_mirror_lacks_is_downloaded(mirror, server, world):
    (mirror / "docs/one.txt").unlink()
    one, two = registry.fetch("tiny")
    assert one.is_relative_to(world / "home")
    assert two.is_relative_to(mirror)


def test_a_download_with_the_wrong_hash_is_not_kept(server, world):
    server.served["docs/one.txt"] = b"another text\n"
    with pytest.raises(registry.CorruptData) as error:
        registry.fetch("tiny")
    for part in ("docs/one.txt", sha256(b"first\n"), sha256(b"another text\n")):
        assert part in str(error.value)
    assert files_under(world / "home") == []


def test_half_a_download_is_never_used(server, world):
    server.cut = 3
    with pytest.raises((registry.Unreachable, registry.CorruptData)):
        registry.fetch("tiny")
    assert files_under(world / "home") == []
    assert not registry.available("tiny")
    server.cut = 0
    assert [path.read_bytes() for path in registry.fetch("tiny")] == list(FILES.values())


def test_a_damaged_file_in_the_cache_is_downloaded_again(server, world):
    root = mirror_of(world / "home" / "data", FILES)
    (root / "docs/one.txt").write_bytes(b"fir")
    assert not registry.available("tiny")
    assert registry.fetch("tiny")[0].read_bytes() == b"first\n"
    assert server.asked == {"docs/one.txt": 1}


def assert_says_how_to_get_it(error: Exception) -> None:
    assert "\n" not in str(error)
    size = f"2 files, {sum(map(len, FILES.values())) / 1e6:.1f} MB"
    url = registry.dataset("tiny").url(registry.dataset("tiny").files[0])
    for part in ("tiny", size, url, "FORGETTING_DATA_MIRROR", "someone__some-data/docs/one.txt"):
        assert part in str(error)


@pytest.mark.parametrize(
    "failure",
    [
        requests.ConnectionError("no route\nto host"),
        requests.exceptions.InvalidURL("a bad proxy"),  # also a ValueError, as a wrong hash is
        ConnectionError(),
        TimeoutError(),
    ],
)
def test_without_network_one_line_says_how_to_get_the_set(world, monkeypatch, failure):
    def retrieve(*args, **kwargs):
        raise failure

    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with pytest.raises(registry.Unreachable) as error:
        registry.fetch("tiny")
    assert_says_how_to_get_it(error.value)


def test_a_refused_connection_and_a_missing_page_are_unreachable(world, request):
    with pytest.raises(registry.Unreachable) as error:
        registry.fetch("tiny")
    assert_says_how_to_get_it(error.value)
    request.getfixturevalue("server").served.clear()
    with pytest.raises(registry.Unreachable, match="HTTPError"):
        registry.fetch("tiny")


def test_unknown_names_come_with_the_nearest(mirror, world):
    with pytest.raises(registry.UnknownDataSet) as error:
        registry.fetch("tinny")
    assert str(error.value) == "name='tinny': no such data set; nearest: 'tiny'"
    with pytest.raises(registry.UnknownFile, match=r"nearest: 'docs/one\.txt'"):
        registry.fetch("tiny", "docs/玉山 100%.txt", "one.txt")
    for function in (registry.dataset, registry.available, registry.digest):
        with pytest.raises(ValueError, match="nearest: 'tiny'"):
            function("Tiny")


def test_a_missing_registry_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGETTING_DATA", str(tmp_path))
    with pytest.raises(FileNotFoundError, match=r"registry\.toml: no such file; set FORGETTING_"):
        registry.names()
    monkeypatch.setenv("FORGETTING_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder; set FORGETTING_DATA"):
        data_dir()


def test_digest_is_over_sorted_paths_and_hashes(world, monkeypatch):
    lines = [f"{path}\0{sha256(content)}\n" for path, content in sorted(FILES.items())]
    digest = registry.digest("tiny")
    assert digest == sha256("".join(lines).encode())

    toml = registry.registry_path().read_text(encoding="utf-8")
    changes = {
        "moved": (toml.replace("someone/", "another/"), True),
        "edited": (toml.replace(sha256(b"first\n"), sha256(b"second\n")), False),
        "renamed": (toml.replace("one.txt", "two.txt"), False),
    }
    for name, (text, same) in changes.items():
        (world / name).mkdir()
        (world / name / "registry.toml").write_text(text, encoding="utf-8")
        monkeypatch.setenv("FORGETTING_DATA", str(world / name))
        assert (registry.digest("tiny") == digest) is same, name


@pytest.fixture
def data_sets(monkeypatch):
    """data/registry.toml as it stands in the repository; pydantic checks the form of each hash."""
    monkeypatch.delenv("FORGETTING_DATA", raising=False)
    return [registry.dataset(name) for name in registry.names()]


def test_paths_are_sorted_relative_and_stand_in_one_place_of_a_mirror(data_sets):
    """A mirror has no folder for the commit, so no two sets may want different files there."""
    assert {"gsm8k", "taiwan_md_zh", "woz2.0"} <= {data.name for data in data_sets}
    digests = {}
    for data in data_sets:
        paths = [file.path for file in data.files]
        assert paths == sorted(set(paths)) and data.about and data.licence, data.name
        for file in data.files:
            assert not file.path.startswith("/") and ".." not in file.path.split("/"), file
            assert digests.setdefault(data.mirror_path(file), file.sha256) == file.sha256, file
            url = urlsplit(data.url(file))
            assert url.geturl().isascii() and not url.query and not url.fragment
            assert unquote(url.path) == f"/{data.repo}/{data.commit}/{file.path}"


def test_files_in_the_mirror_of_this_machine_are_the_registered_ones(data_sets):
    """Runs where FORGETTING_DATA_MIRROR is set; one small set is enough to check the layout."""
    if not os.environ.get("FORGETTING_DATA_MIRROR"):
        pytest.skip("FORGETTING_DATA_MIRROR is not set")
    assert all(registry.available(data.name) for data in data_sets if data.mirror)
    assert [path.name for path in registry.fetch("xstest")] == ["xstest_prompts.csv"]
