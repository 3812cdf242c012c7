"""A server that answers as a test wants it to, and remembers what it was asked."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

BODY = b"".join(hashlib.sha256(bytes([n])).digest() for n in range(250)) * 50  # 400,000 bytes


class Server(ThreadingHTTPServer):
    """Answers each request with the next of its `answers`, and the last one from then on."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers: list[Callable[[Handler], None]] = []
        self.asked: list[dict[str, str]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/data.zip"

    def handle_error(self, *_: object) -> None:
        """Connections that break are what is tested."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.asked.append(dict(self.headers))
        answers = self.server.answers
        (answers.pop(0) if answers[1:] else answers[0])(self)

    def log_message(self, *_: object) -> None:
        pass

    def send(self, status: int, body: bytes, said: int | None = -1, **headers: str) -> None:
        """Answer with a body; `said` is the length its header tells, None for no header."""
        self.send_response(status)
        if said is not None:
            self.send_header("Content-Length", str(len(body) if said == -1 else said))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def sends(
    body: bytes = BODY, most: int | None = None, etag: str = '"1"', **more: str
) -> Callable[[Handler], None]:
    """A server that knows ranges, and drops the connection after `most` bytes."""

    def answer(handler: Handler) -> None:
        wanted = handler.headers.get("Range")
        same = handler.headers.get("If-Range", etag) in (etag, more.get("Last_Modified"))
        start = int(wanted[6:-1]) if wanted and same else 0
        part = body[start:]
        place = {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        headers = {"ETag": etag} | place | more
        handler.send(206 if start else 200, part[:most], len(part), **headers)

    return answer


def sends_whole(handler: Handler) -> None:
    handler.send(200, BODY, ETag='"1"')


def refuses(status: int) -> Callable[[Handler], None]:
    return lambda handler: handler.send(status, b"no")


@contextmanager
def serving() -> Iterator[Server]:
    with Server() as running:
        thread = Thread(target=running.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield running
        running.shutdown()
        thread.join()
