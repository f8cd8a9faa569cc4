"""Downloads against a server of our own that dies, lies, or knows no ranges."""

import hashlib
import http.server
import os
import random
import signal
import threading
import time

import pytest

from akyolo.datasets.published import download
from akyolo.datasets.published.download import fetch
from akyolo.datasets.published.spec import Archive
from akyolo.errors import DatasetError

CONTENT = random.Random(1).randbytes(400_000)
SIZE = len(CONTENT)
MD5 = hashlib.md5(CONTENT).hexdigest()


class Mirror:
    """Serves `content`; cuts the connection once `dies_after` bytes of the file have gone out."""

    def __init__(self, content=CONTENT, dies_after=None, ranges=True, says_length=True, delay=0.0):
        self.requests, self.sent = [], 0
        mirror = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                mirror.requests.append(self.headers.get("Range"))
                asked = self.headers.get("Range") if ranges else None
                first = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
                if first >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206 if asked else 200)
                if asked:
                    self.send_header("Content-Range", f"bytes {first}-{len(content) - 1}/{len(content)}")
                if says_length:
                    self.send_header("Content-Length", str(len(content) - first))
                self.end_headers()
                stop = len(content) if dies_after is None else min(dies_after, len(content))
                for at in range(first, stop, 8192):
                    chunk = content[at : min(at + 8192, stop)]
                    mirror.sent += len(chunk)
                    self.wfile.write(chunk)
                    time.sleep(delay)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/a.zip"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(autouse=True)
def in_no_hurry(monkeypatch):
    monkeypatch.setattr(download, "PAUSE", 0.0)


def archive(*urls, size=SIZE, md5=MD5):
    return Archive("a.zip", size, md5, urls)


def test_a_whole_download(tmp_path):
    with Mirror() as mirror:
        file = fetch(archive(mirror.url), tmp_path)
    assert file.read_bytes() == CONTENT and [one.name for one in tmp_path.iterdir()] == ["a.zip"]
    assert fetch(archive(mirror.url), tmp_path) == file  # whose server is gone
    assert mirror.requests == [None]


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_a_server_that_dies_costs_no_byte_twice(tmp_path, percent):
    have = len(CONTENT) * percent // 100
    with Mirror(dies_after=have) as dying, pytest.raises(DatasetError, match=rf"ended at {have:,}(.|\n)*are kept"):
        fetch(archive(dying.url), tmp_path)
    assert (tmp_path / "a.zip.part").stat().st_size == have and not (tmp_path / "a.zip").exists()
    with Mirror() as mirror:
        file = fetch(archive(mirror.url), tmp_path)
    assert hashlib.md5(file.read_bytes()).hexdigest() == MD5
    assert mirror.requests == [f"bytes={have}-"] and dying.sent + mirror.sent == len(CONTENT)


@pytest.mark.parametrize("percent", [10, 50, 90])
def test_a_killed_download_goes_on_where_it_was(tmp_path, percent):
    part = tmp_path / "a.zip.part"
    with Mirror(delay=0.004) as mirror:
        child = os.fork()
        if child == 0:
            try:
                fetch(archive(mirror.url), tmp_path)
            finally:
                os._exit(1)
        while not part.exists() or part.stat().st_size < len(CONTENT) * percent / 100:
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        have = part.stat().st_size
    assert have < len(CONTENT)
    with Mirror() as again:
        assert fetch(archive(again.url), tmp_path).read_bytes() == CONTENT
    assert again.requests == [f"bytes={have}-"] and again.sent == len(CONTENT) - have


def test_within_one_run_the_next_mirror_goes_on(tmp_path):
    with Mirror(dies_after=100_000) as first, Mirror() as second:
        assert fetch(archive(first.url, second.url), tmp_path).read_bytes() == CONTENT
    assert second.requests == ["bytes=100000-"]


def test_a_server_without_ranges_begins_anew(tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:5000])
    with Mirror(ranges=False) as mirror:
        assert fetch(archive(mirror.url), tmp_path).read_bytes() == CONTENT


def test_what_was_altered_on_the_way_is_thrown_away_and_got_elsewhere(tmp_path):
    (tmp_path / "a.zip.part").write_bytes(b"x" + CONTENT[1:9999])
    with Mirror() as first, Mirror() as second:
        assert fetch(archive(first.url, second.url), tmp_path).read_bytes() == CONTENT
    assert (first.requests, second.requests) == (["bytes=9999-"], [None])


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b"x" + CONTENT[1:], b"<html>gone</html>"])
@pytest.mark.parametrize("says_length", [True, False])
def test_another_file_is_refused_and_leaves_nothing_that_counts(tmp_path, content, says_length):
    with Mirror(content, says_length=says_length) as mirror, pytest.raises(DatasetError, match="cannot be downloaded"):
        fetch(archive(mirror.url), tmp_path)
    assert not (tmp_path / "a.zip").exists()


@pytest.mark.parametrize("have", [0, 1234, len(CONTENT)])
def test_without_a_known_size_the_server_says_it(tmp_path, have):
    if have:
        (tmp_path / "a.zip.part").write_bytes(CONTENT[:have])
    with Mirror() as mirror:
        assert fetch(archive(mirror.url, size=None, md5=None), tmp_path).read_bytes() == CONTENT


def test_a_part_longer_than_the_file_is_no_part_of_it(tmp_path):
    (tmp_path / "a.zip.part").write_bytes(CONTENT + b"x")
    with Mirror() as mirror:
        assert fetch(archive(mirror.url), tmp_path).read_bytes() == CONTENT
    assert mirror.requests == [None]


def test_nobody_answers(tmp_path):
    with Mirror() as mirror:
        pass
    with pytest.raises(DatasetError, match=rf"{mirror.url}: .*refused(.|\n)*--from"):
        fetch(archive(mirror.url), tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["http://[::1/a.zip", "http://127.0.0.1/données.zip", "http://127.0.0.1:x/a.zip"])
def test_an_address_that_is_none_is_that_mirrors_fault(tmp_path, url):
    with pytest.raises(DatasetError, match=r"a\.zip: cannot be downloaded: http://"):
        fetch(archive(url), tmp_path)
    with Mirror() as mirror:
        assert fetch(archive(url, mirror.url), tmp_path).read_bytes() == CONTENT


def test_no_space_is_said_before_the_first_byte_and_keeps_what_is_there(tmp_path, monkeypatch):
    (tmp_path / "a.zip.part").write_bytes(CONTENT[:5000])
    monkeypatch.setattr("akyolo.datasets.published.archive.shutil.disk_usage", lambda _: type("Usage", (), {"free": 7}))
    with (
        Mirror() as mirror,
        pytest.raises(DatasetError, match=r"395,000 bytes are needed to download a\.zip, 7 are free"),
    ):
        fetch(archive(mirror.url), tmp_path)
    assert (tmp_path / "a.zip.part").stat().st_size == 5000


def test_an_altered_file_is_named_and_not_replaced(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"x" + CONTENT[1:])
    with pytest.raises(DatasetError, match=r"a\.zip: has MD5 .* is expected"):
        fetch(archive(), tmp_path)
    assert (tmp_path / "a.zip").exists()
