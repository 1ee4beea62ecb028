"""A small HTTP server for one page, reached from this machine only: GET / is the page, POST /generate a new motion."""

from __future__ import annotations

import json
import sys
import threading
import traceback
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from ..errors import LampError
from ..export.motion import Motion
from ..export.page import describe

HOST = "127.0.0.1"
MAX_REQUEST = 1 << 14
"""Bytes of a request's body: ten thousand letters of a prompt, and more than any model reads."""
TIMEOUT = 20
"""Seconds that a client may take to send its request."""

Generate = Callable[[str, float | None, int], Motion]


class Refused(Exception):
    """A request that is not served; the page shows the sentence."""

    def __init__(self, status: HTTPStatus, sentence: str):
        super().__init__(sentence)
        self.status = status


class ViewerServer(ThreadingHTTPServer):
    """`serve_forever()` serves until `shutdown()` from another thread, or Ctrl-C.

    Args:
        page: what `render_page(..., live=True)` gives.
        generate: (prompt, seconds or None, seed) -> motion; called once at a time.
        port: 0 takes a free one; `url` tells it.

    Raises:
        LampError: a port that is taken, not allowed or no port at all.
    """

    daemon_threads = True

    def __init__(self, page: str, generate: Generate, port: int = 0):
        if not 0 <= port <= 65535:
            raise LampError(f"the port is {port}, expected 0 (a free one) to 65535")
        self.page, self.generate, self.generating = page.encode(), generate, threading.Lock()
        try:
            super().__init__((HOST, port), Handler)
        except OSError as error:
            reason = error.strerror or str(error)
            raise LampError(f"cannot serve on port {port} ({reason}); take another one, or 0 for a free one") from error

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    server: ViewerServer
    timeout = TIMEOUT
    server_version, sys_version = "lamp-fast", ""

    def do_GET(self) -> None:
        try:
            self._check_origin()
            if self.path != "/":
                raise Refused(HTTPStatus.NOT_FOUND, "there is only one page here, at /")
        except Refused as refused:
            return self._refuse(refused)
        self._answer(HTTPStatus.OK, "text/html; charset=utf-8", self.server.page)

    def do_POST(self) -> None:
        try:
            self._check_origin()
            if self.path != "/generate":
                raise Refused(HTTPStatus.NOT_FOUND, "requests go to /generate")
            motion = self._generate(**self._read_request())
        except Refused as refused:
            return self._refuse(refused)
        except LampError as error:
            return self._refuse(Refused(HTTPStatus.BAD_REQUEST, str(error)))
        except Exception:
            traceback.print_exc(file=sys.stderr)
            sentence = "the model failed on this prompt; the terminal of lamp-fast view says why"
            return self._refuse(Refused(HTTPStatus.INTERNAL_SERVER_ERROR, sentence))
        self._answer_json(HTTPStatus.OK, motion)

    def _check_origin(self) -> None:
        """Only pages from here may ask: no other site that the browser shows, under whatever name it reaches us."""
        hosts = {f"{name}:{self.server.server_port}" for name in (HOST, "localhost")}
        origin = self.headers.get("Origin")
        if self.headers.get("Host") not in hosts or origin not in {None, *(f"http://{host}" for host in hosts)}:
            raise Refused(HTTPStatus.FORBIDDEN, f"this server answers to its own page only, {self.server.url}")

    def _read_request(self) -> dict:
        """-> prompt, seconds and seed, of the right types; the pipeline checks their values."""
        if self.headers.get_content_type() != "application/json":
            raise Refused(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "the request is expected as application/json")
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise Refused(HTTPStatus.LENGTH_REQUIRED, "the request does not tell its length")
        if len(length) > 12 or int(length) > MAX_REQUEST:
            sentence = f"the request has more than {MAX_REQUEST} bytes; give a shorter prompt"
            raise Refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, sentence)
        try:
            request = json.loads(self.rfile.read(int(length)))
        except TimeoutError as error:
            raise Refused(HTTPStatus.REQUEST_TIMEOUT, "the request is shorter than it says") from error
        except (ValueError, RecursionError) as error:
            raise Refused(HTTPStatus.BAD_REQUEST, "the request is no JSON") from error
        kinds = {"prompt": str, "seconds": (int, float, type(None)), "seed": int}
        if not isinstance(request, dict) or request.keys() != kinds.keys():
            raise Refused(HTTPStatus.BAD_REQUEST, f"the request is expected to hold {', '.join(kinds)}")
        for name, kind in kinds.items():
            if not isinstance(request[name], kind) or isinstance(request[name], bool):
                raise Refused(HTTPStatus.BAD_REQUEST, f"{name} is {str(request[name])[:40]!r}, of the wrong type")
        return request

    def _generate(self, prompt: str, seconds: float | None, seed: int) -> dict:
        if not self.server.generating.acquire(blocking=False):
            raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "another prompt is being generated; try again in a moment")
        try:
            return describe(self.server.generate(prompt, seconds, seed))
        finally:
            self.server.generating.release()

    def _refuse(self, refused: Refused) -> None:
        self.close_connection = True
        self._answer_json(refused.status, {"error": str(refused)})

    def _answer_json(self, status: HTTPStatus, value: dict) -> None:
        self._answer(status, "application/json", json.dumps(value).encode())

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        headers = {"Content-Type": kind, "Content-Length": str(len(body)), "Cache-Control": "no-store"}
        headers |= {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        try:
            self.end_headers()
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True  # the browser has gone

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the terminal is for what goes wrong."""
