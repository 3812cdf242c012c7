"""Downloads against a server that does what servers do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from geoaware.runtime.datasets import download as module
from geoaware.runtime.datasets.download import ATTEMPTS, download
from geoaware.runtime.errors import GeoAwareError, InputError

from .http_server import BODY, Handler, Server, refuses, sends, sends_whole


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "AP-10K.download"


def fetch(server: Server, file: Path, *answers: Callable[[Handler], None]) -> list[float]:
    """Download what a server gives that answers so; the pauses made between attempts."""
    pauses: list[float] = []
    server.answers = list(answers)
    download(server.url, file, lambda *_: None, pauses.append)
    return pauses


def test_a_file_comes_whole_and_its_progress_is_told(server: Server, file: Path):
    told: list[tuple[int, int | None]] = []
    server.answers = [sends()]
    download(server.url, file, lambda *now: told.append(now))
    assert file.read_bytes() == BODY
    assert told[0] == (0, len(BODY))
    assert told[-1] == (len(BODY), len(BODY))
    assert told == sorted(told)
    assert len(told) > 2


def test_dropped_connections_are_taken_up_where_they_were(server: Server, file: Path):
    pauses = fetch(server, file, *[sends(most=100_000)] * 3, sends())
    assert file.read_bytes() == BODY
    assert [asked.get("Range") for asked in server.asked] == [
        None, "bytes=100000-", "bytes=200000-", "bytes=300000-",
    ]  # fmt: skip
    assert server.asked[-1]["If-Range"] == '"1"'
    assert pauses == [1, 2, 4]


def test_a_later_call_goes_on_where_an_earlier_one_gave_up(server: Server, file: Path):
    with pytest.raises(
        GeoAwareError, match=r"server sent 8,000 bytes of 400,000; given up after 8"
    ):
        fetch(server, file, sends(most=1000))
    assert file.read_bytes() == BODY[: ATTEMPTS * 1000]
    fetch(server, file, sends())
    assert server.asked[-1]["Range"] == "bytes=8000-"
    assert file.read_bytes() == BODY


def test_a_finished_download_is_not_asked_for_again(server: Server, file: Path):
    fetch(server, file, sends())
    fetch(server, file, refuses(404))
    assert len(server.asked) == 1


def test_a_server_that_ignores_ranges_sends_all_again(server: Server, file: Path):
    fetch(server, file, sends(most=1000), sends_whole)
    assert server.asked[1]["Range"] == "bytes=1000-"
    assert file.read_bytes() == BODY


def test_a_file_that_has_changed_is_not_mixed_with_what_it_was(server: Server, file: Path):
    fetch(server, file, sends(b"x" * 9000, most=1000), sends(etag='"2"'))
    assert file.read_bytes() == BODY


def test_a_file_of_another_size_is_not_mixed_with_what_it_was(server: Server, file: Path):
    fetch(server, file, sends(b"x" * 9000, most=1000), sends())
    assert file.read_bytes() == BODY
    assert [asked.get("Range") for asked in server.asked] == [None, "bytes=1000-", None]


def test_a_weak_tag_does_not_tell_files_apart_and_a_date_does(server: Server, file: Path):
    date = "Thu, 01 Jan 2026 00:00:00 GMT"
    fetch(server, file, sends(most=1000, etag='W/"1"', Last_Modified=date), sends(etag=date))
    assert server.asked[1]["If-Range"] == date
    assert file.read_bytes() == BODY


def test_another_part_than_asked_for_starts_over(server: Server, file: Path):
    def sends_other(handler: Handler) -> None:
        part = BODY[500:-500]  # as long as the rest that was asked for
        place = f"bytes 500-{len(BODY) - 501}/{len(BODY)}"
        handler.send(206, part, Content_Range=place)

    fetch(server, file, sends(most=1000), sends_other, sends())
    assert file.read_bytes() == BODY


def test_a_rest_that_is_not_there_starts_over(server: Server, file: Path):
    fetch(server, file, sends(most=1000), refuses(416), sends())
    assert file.read_bytes() == BODY


def test_a_part_of_another_address_is_not_gone_on_with(server: Server, file: Path):
    with pytest.raises(GeoAwareError):
        fetch(server, file, sends(b"x" * 9000, most=100))
    server.answers = [sends()]
    download(f"{server.url}?2", file, lambda *_: None)
    assert "Range" not in server.asked[ATTEMPTS]
    assert file.read_bytes() == BODY


@pytest.mark.parametrize("notes", [None, b"", b"[]", b'{"url": 3}', b"\xff"])
def test_a_part_of_which_nothing_is_known_is_not_gone_on_with(
    server: Server, file: Path, notes: bytes | None
):
    file.write_bytes(b"x" * 100)
    if notes is not None:
        file.with_name(f"{file.name}.json").write_bytes(notes)
    fetch(server, file, sends())
    assert file.read_bytes() == BODY


@pytest.mark.parametrize("said", [len(BODY) + 1, len(BODY) * 10])
def test_a_length_that_never_comes_is_given_up(server: Server, file: Path, said: int):
    def lies(handler: Handler) -> None:
        handler.send(200, BODY, said)

    with pytest.raises(GeoAwareError, match=f"sent 400,000 bytes of {said:,}; given up after 8 at"):
        fetch(server, file, lies)
    assert len(server.asked) == ATTEMPTS


def test_a_body_longer_than_it_says_ends_where_it_says(server: Server, file: Path):
    fetch(server, file, lambda handler: handler.send(200, BODY, 1000))
    assert file.read_bytes() == BODY[:1000]


def test_a_body_of_unknown_length_ends_with_the_connection(server: Server, file: Path):
    fetch(server, file, lambda handler: handler.send(200, BODY, None))
    assert file.read_bytes() == BODY


@pytest.mark.parametrize("status", [403, 404, 410])
def test_a_refusal_is_told_at_once(server: Server, file: Path, status: int):
    with pytest.raises(GeoAwareError, match=rf"data\.zip: the server says {status} \w+"):
        fetch(server, file, refuses(status))
    assert len(server.asked) == 1
    assert not file.exists()


def test_a_server_in_trouble_is_asked_again_ever_later(server: Server, file: Path):
    assert fetch(server, file, refuses(500), refuses(503), refuses(429), sends()) == [1, 2, 4]
    file.unlink()
    pauses: list[float] = []
    server.answers = [refuses(500)]
    with pytest.raises(GeoAwareError, match="the server says 500 Internal Server Error; given up"):
        download(server.url, file, lambda *_: None, pauses.append)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]


def test_a_connection_that_breaks_before_the_answer_is_tried_again(server: Server, file: Path):
    def breaks(handler: Handler) -> None:
        handler.connection.shutdown(socket.SHUT_RDWR)

    assert fetch(server, file, breaks, lambda handler: handler.wfile.write(b"?\r\n"), sends())
    assert file.read_bytes() == BODY


def moved(place: str) -> Callable[[Handler], None]:
    return lambda handler: handler.send(302, b"", Location=place)


def test_redirections_are_followed(server: Server, file: Path):
    fetch(server, file, moved("/elsewhere"), sends())
    assert file.read_bytes() == BODY


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "ftp://127.0.0.1/x", "data:,x", "/data.zip"]
)
def test_redirections_lead_to_http_only_and_not_in_circles(server: Server, file: Path, place: str):
    with pytest.raises(GeoAwareError):
        fetch(server, file, moved(place))
    assert not file.exists()


@pytest.mark.parametrize(
    "url",
    ["file:///etc/passwd", "ftp://host/a.zip", "data.zip", "", "http://", "https:///a.zip",
     "http://host:port/a", "http://[::1/a", "http://user:secret@host/a", "http://höst/a",
     "http://host/a b"],
)  # fmt: skip
def test_what_is_no_address_is_refused(file: Path, url: str):
    with pytest.raises(InputError, match="cannot be downloaded from; give an address like"):
        download(url, file, lambda *_: None)
    assert not file.exists()


def test_a_server_that_is_not_there_is_told_at_once(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("no_proxy", "*")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    pauses: list[float] = []
    with pytest.raises(GeoAwareError, match="cannot be reached: .*refused"):
        download(f"http://127.0.0.1:{port}/a", file, lambda *_: None, pauses.append)
    assert pauses == []


def test_a_server_that_falls_silent_is_left(
    server: Server, file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(module, "TIMEOUT", 0.2)

    def stops(handler: Handler) -> None:
        sends(most=1000)(handler)
        handler.wfile.flush()
        handler.rfile.read(1)

    fetch(server, file, stops, sends())
    assert file.read_bytes() == BODY


def test_a_place_that_cannot_be_written_is_no_broken_connection(server: Server, tmp_path: Path):
    with pytest.raises(GeoAwareError, match="cannot be written"):
        fetch(server, tmp_path / "none" / "x.download", sends())
    assert len(server.asked) == 1
