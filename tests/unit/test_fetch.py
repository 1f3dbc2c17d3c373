"""Fetching, against a local HTTP server that resumes, cuts off, and serves the quota page."""

import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import numpy as np
import pytest

from data.celeba.fetch import FILES, CelebAFile, fetch
from data.errors import ConfigError, DataError

CONTENT = np.random.default_rng(0).bytes(3_000_000)
ZIP = CelebAFile("img_align_celeba.zip", "Img", "the-id", hashlib.md5(CONTENT).hexdigest())


class Server(ThreadingHTTPServer):
    """Serves CONTENT; `behaviour` says how."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.behaviour = "sound"
        self.requests: list[str | None] = []
        self.content = CONTENT

    @property
    def url(self):
        """What takes the place of the Google Drive."""
        return f"http://127.0.0.1:{self.server_port}/download"


class Handler(BaseHTTPRequestHandler):
    """Answers as the server's behaviour says."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        """A download, or a part of one."""
        server: Server = self.server
        assert parse_qs(urlparse(self.path).query)["id"] == ["the-id"]
        wanted = self.headers.get("Range")
        server.requests.append(wanted)
        if server.behaviour == "quota":
            page = b"<!DOCTYPE html><html>Google Drive - Quota exceeded</html>"
            self.reply(200, page, len(page), {"Content-Type": "text/html; charset=utf-8"})
            return
        if server.behaviour == "broken":
            self.reply(503, b"", 0, {})
            return
        start = 0
        if wanted and server.behaviour != "no-ranges":
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(server.content):
            self.reply(416, b"", 0, {})
            return
        body = server.content[start:]
        sent = body[:1_100_000] if server.behaviour == "cuts-off" else body
        self.reply(206 if start else 200, sent, len(body), {"Content-Type": "application/zip"})

    def reply(self, status, sent, length, headers):
        """Announces `length` bytes and sends what there is to send."""
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(sent)
        if len(sent) < length:
            self.close_connection = True

    def log_message(self, *arguments):
        """Keeps the test's output clean."""


@pytest.fixture
def server():
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def get(root, server, **options):
    return fetch(
        root,
        accept_licence=True,
        files=[ZIP],
        source_url=server.url,
        wait_s=0.01,
        **options,
    )


def test_a_sound_download_is_verified_and_not_repeated(server, tmp_path):
    """The file gets its name when it is whole; the second call asks for nothing."""
    seen = []
    assert get(tmp_path, server, on_progress=lambda *a: seen.append(a)) == [ZIP.name]
    assert (tmp_path / "Img" / ZIP.name).read_bytes() == CONTENT
    assert seen[-1] == (ZIP.name, len(CONTENT), len(CONTENT))
    assert not list(tmp_path.rglob("*.part"))
    assert get(tmp_path, server) == []
    assert len(server.requests) == 1


def test_a_connection_that_is_cut_off_is_resumed(server, tmp_path):
    """Each attempt goes on where the last one ended."""
    server.behaviour = "cuts-off"
    get(tmp_path, server)
    assert (tmp_path / "Img" / ZIP.name).read_bytes() == CONTENT
    starts = [0 if r is None else int(r[6:-1]) for r in server.requests]
    assert len(starts) == 3 and starts == sorted(set(starts))


def test_a_later_call_resumes_what_an_earlier_one_left(server, tmp_path):
    """Also when all bytes are there already, and only the name was missing."""
    for have in (1_000_000, len(CONTENT)):
        root = tmp_path / str(have)
        (root / "Img").mkdir(parents=True)
        (root / "Img" / (ZIP.name + ".part")).write_bytes(CONTENT[:have])
        get(root, server)
        assert server.requests[-1] == f"bytes={have}-"
        assert (root / "Img" / ZIP.name).read_bytes() == CONTENT


def test_a_server_that_does_not_resume_is_read_from_the_start(server, tmp_path):
    """A 200 to a range request holds the whole file."""
    server.behaviour = "no-ranges"
    (tmp_path / "Img").mkdir()
    (tmp_path / "Img" / (ZIP.name + ".part")).write_bytes(CONTENT[:1000])
    get(tmp_path, server)
    assert (tmp_path / "Img" / ZIP.name).read_bytes() == CONTENT


def test_the_quota_page_is_recognised(server, tmp_path):
    """The HTML page is not kept, not retried, and the way out is named."""
    server.behaviour = "quota"
    with pytest.raises(DataError, match="HTML page instead of the file") as error:
        get(tmp_path, server)
    assert "quota" in error.value.remedy and str(tmp_path) in error.value.remedy
    assert len(server.requests) == 1
    assert not [f for f in tmp_path.rglob("*") if f.is_file()]


def test_a_quota_page_saved_by_hand_is_recognised(server, tmp_path):
    """The page under the name of the zip is called what it is, and nothing is overwritten."""
    (tmp_path / ZIP.name).write_text("<html>Quota exceeded</html>")
    with pytest.raises(DataError, match=r"img_align_celeba.zip: this is an HTML page"):
        get(tmp_path, server)
    assert not server.requests


def test_files_downloaded_by_hand_are_accepted(server, tmp_path):
    """In the official folder or directly in the root; nothing is fetched."""
    (tmp_path / ZIP.name).write_bytes(CONTENT)
    assert get(tmp_path, server) == []
    assert not server.requests


def test_a_wrong_checksum_is_an_error(server, tmp_path):
    """Neither a wrong download nor a wrong file that is there is taken; the latter is kept."""
    server.content = CONTENT[:-1] + b"x"
    with pytest.raises(DataError, match=f"expected {ZIP.md5}"):
        get(tmp_path, server)
    assert not [f for f in tmp_path.rglob("*") if f.is_file()]
    mine = tmp_path / "Img" / ZIP.name
    mine.write_bytes(b"mine")
    with pytest.raises(DataError, match="Remove it and fetch again|MD5"):
        get(tmp_path, server)
    assert mine.read_bytes() == b"mine"


def test_a_server_that_stays_broken_is_given_up(server, tmp_path):
    """After the attempts, with the cause and the place for the file."""
    server.behaviour = "broken"
    with pytest.raises(DataError, match="503") as error:
        get(tmp_path, server, attempts=3)
    assert len(server.requests) == 3
    assert "resumes" in error.value.remedy


def test_the_terms_must_be_accepted(tmp_path):
    """Without that nothing is fetched, and the terms are shown."""
    with pytest.raises(ConfigError, match="non-commercial research"):
        fetch(tmp_path, accept_licence=False)


def test_the_table_of_files_is_sound():
    """Six files, each with a sum of 32 hex digits and a place in the official layout."""
    assert len({f.name for f in FILES}) == len({f.md5 for f in FILES}) == len(FILES) == 6
    assert all(len(f.md5) == 32 and int(f.md5, 16) for f in FILES)
    assert {f.folder for f in FILES} == {"Anno", "Eval", "Img"}
