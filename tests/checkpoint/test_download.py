"""Downloads from a local server: cache, resume, hashes, errors."""

from __future__ import annotations

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from vidperc.checkpoint import CheckpointError, download
from vidperc.checkpoint.download import cache_folder, cached_path, check_hash

CONTENT = bytes(range(256)) * 5000
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setenv("VIDPERC_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `limit` bytes at most per answer, ranges where `ranges` says so."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.limit: int | None = None
        self.ranges = True
        self.asked: list[str | None] = []


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        start = int(wanted[len("bytes=") : -1]) if wanted and self.server.ranges else 0
        if "missing" in self.path:
            return self.send_error(404)
        if start >= len(CONTENT):
            return self.send_error(416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        end = len(CONTENT) if self.server.limit is None else start + self.server.limit
        self.wfile.write(CONTENT[start:end])

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server():
    with Server() as running:
        thread = threading.Thread(target=running.serve_forever, daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def url_of(server: Server, name: str) -> str:
    return f"http://127.0.0.1:{server.server_port}/some/folder/{name}"


def test_a_file_is_fetched_once(server):
    url = url_of(server, f"model-{DIGEST[:8]}.pth")
    path = download(url, progress=False)
    assert path.read_bytes() == CONTENT
    assert path == cached_path(url)
    assert download(url, progress=False) == path
    assert server.asked == [None]
    assert sorted(file.suffix for file in path.parent.iterdir()) == [".lock", ".pth"]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_broken_download_goes_on(server, ranges):
    url = url_of(server, f"model-{DIGEST[:8]}.pth")
    server.limit, server.ranges = 300_000, ranges
    with pytest.raises(CheckpointError, match="broke off after 300000 of 1280000"):
        download(url, progress=False)
    assert not cached_path(url).exists()
    server.limit = None
    assert download(url, progress=False).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=300000-"]


def test_a_part_that_is_too_long_is_thrown_away(server):
    url = url_of(server, "model.pth")
    part = cached_path(url).with_name("model.pth.part")
    part.parent.mkdir(parents=True)
    part.write_bytes(CONTENT + b"more")
    assert download(url, progress=False).read_bytes() == CONTENT


def test_a_wrong_hash_is_refused_and_the_file_removed(server):
    url = url_of(server, "model-00000000.pth")
    with pytest.raises(CheckpointError, match=f"begins with {DIGEST[:8]}, its name says 00000000"):
        download(url, progress=False)
    assert not cached_path(url).exists()
    assert not cached_path(url).with_name("model-00000000.pth.part").exists()


def test_a_date_is_no_hash(tmp_path):
    file = tmp_path / "part"
    file.write_bytes(b"anything")
    check_hash(file, "model-20200130.pth", "here")
    check_hash(file, "model.pth", "here")
    assert file.exists()


def test_errors_say_what_to_do(server):
    with pytest.raises(CheckpointError, match="404"):
        download(url_of(server, "missing.pth"), progress=False)
    url = url_of(server, "model.pth")
    server.server_close()
    with pytest.raises(CheckpointError, match=f"put the file at {cached_path(url)}"):
        download("http://127.0.0.1:9/some/folder/model.pth".replace(":9", f":{server.server_port}"), progress=False)


def test_urls_without_a_file_or_that_climb_are_refused():
    for url in ("http://host/", "http://host/a/../../b.pth", "http://host"):
        with pytest.raises(CheckpointError, match="names no file"):
            cached_path(url)


def test_where_the_cache_is(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("VIDPERC_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "vidperc"


def test_file_urls(tmp_path):
    source = tmp_path / f"weights-{DIGEST[:16]}.pth"
    source.write_bytes(CONTENT)
    assert download(source.as_uri(), progress=False).read_bytes() == CONTENT
