"""The load generator sees what goes wrong: against a server that does it on purpose, without Docker."""

from __future__ import annotations

import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from . import certificate, load, seen
from .load import KINDS, Answer
from .seen import Change

Behaviour = Callable[[BaseHTTPRequestHandler, int], None]


@contextmanager
def server(folder: Path, behave: Behaviour) -> Iterator[load.Job]:
    """A TLS server that does `behave` (with the request's number on its connection) for each request."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        number = 0

        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.number += 1
            behave(self, self.number)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *arguments: object) -> None:
            pass  # clients that went away: what the tests are about

    made = certificate.make(folder, "site.test")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(made.certificate, made.key)
    with Server(("127.0.0.1", 0), Handler) as httpd:
        httpd.socket = tls.wrap_socket(httpd.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        yield load.Job(
            "https://site.test",
            "127.0.0.1",
            httpd.server_port,
            str(made.certificate),
            str(folder / "records"),
        )
        httpd.shutdown()


def answer(handler: BaseHTTPRequestHandler, number: int, *, release: str = "one") -> None:
    status = next(
        kind.status for kind in KINDS if (kind.method, kind.path) == (handler.command, handler.path)
    )
    handler.send_response(status)
    handler.send_header("Content-Length", "2")
    handler.send_header("X-Release", release)
    handler.end_headers()
    handler.wfile.write(b"ok")


def drive(job: load.Job, seconds: float = 1.5) -> list[Answer]:
    with load.running(job) as clients:
        time.sleep(seconds)
        return clients.stop()


def test_sees_nothing_wrong_where_nothing_is(tmp_path: Path) -> None:
    with server(tmp_path, answer) as job:
        answers = drive(job)
    assert len(answers) > 100
    assert not seen.failures(answers)
    assert {one.kind for one in answers} == {kind.name for kind in KINDS}
    assert {one.release for one in answers} == {"one"}
    assert any(one.reused for one in answers)
    assert not any(one.reused for one in answers if one.kind == "new")


def test_asks_once_more_where_a_browser_would_and_counts_it(tmp_path: Path) -> None:
    def closes_under_the_second(handler: BaseHTTPRequestHandler, number: int) -> None:
        if number == 2:
            handler.connection.close()
            handler.close_connection = True
        else:
            answer(handler, number)

    with server(tmp_path, closes_under_the_second) as job:
        answers = drive(job)
    assert any(one.retries for one in answers)
    assert not any(one.failed for one in answers if one.kind != "upload")
    # An upload may have been done: nobody asks again by himself.
    assert all(one.failed for one in answers if one.kind == "upload" and one.reused)


def test_sees_an_error_and_an_answer_that_broke_off(tmp_path: Path) -> None:
    def breaks(handler: BaseHTTPRequestHandler, number: int) -> None:
        if handler.path == "/":
            handler.send_error(500)
        elif handler.path == "/slow":
            handler.send_response(200)
            handler.send_header("Content-Length", "100")
            handler.end_headers()
            handler.wfile.write(b"half")
            handler.close_connection = True
        else:
            answer(handler, number)

    with server(tmp_path, breaks) as job:
        answers = drive(job)
    assert {one.kind for one in answers if one.failed} == {"page", "slow"}
    assert {one.status for one in answers if one.kind == "page"} == {500}
    assert all("IncompleteRead" in one.error for one in answers if one.kind == "slow")


def test_counts_the_wait_for_a_site_that_stood_still(tmp_path: Path) -> None:
    """What was due while it stood still waits from its due time on: no coordinated omission."""
    stands = threading.Event()
    stands.set()

    def waits(handler: BaseHTTPRequestHandler, number: int) -> None:
        stands.wait(20)
        with suppress(OSError):
            answer(handler, number)

    with server(tmp_path, waits) as job, load.running(job) as clients:
        time.sleep(0.5)
        stands.clear()
        stopped = time.monotonic()
        time.sleep(1)
        stands.set()
        went_on = time.monotonic()
        time.sleep(0.5)
        answers = clients.stop()
    waited = [one for one in answers if stopped < one.due < went_on]
    assert len(waited) > 100
    assert all(one.ended >= went_on for one in waited)
    assert all(one.latency >= went_on - one.due for one in waited)


def one(begun: float, ended: float, release: str) -> Answer:
    return Answer("version", begun, begun, ended, 200, 200, release, "blue", reused=True, retries=0, error="")


def test_whoever_has_seen_the_new_release_never_sees_the_old() -> None:
    changes = [Change(10, 20, "old", "new")]
    good = [
        one(1, 2, "old"),
        one(11, 15, "old"),
        one(11.5, 12, "new"),
        one(13, 14, "new"),
        one(21, 22, "new"),
    ]
    assert not seen.wrong(good, changes)
    after_the_first = one(12.5, 13, "old")
    too_early = one(3, 4, "new")
    assert seen.wrong([*good, after_the_first], changes) == [after_the_first]
    assert seen.wrong([*good, too_early], changes) == [too_early]


def test_a_change_that_never_came_is_wrong() -> None:
    late = one(21, 22, "old")
    assert seen.wrong([one(1, 2, "old"), late], [Change(10, 20, "old", "new")]) == [late]


def test_an_outage_is_as_long_as_somebody_waited() -> None:
    broken = Answer("version", 5, 5, 6, 502, 200, "", "", reused=False, retries=0, error="")
    assert seen.longest_outage([one(1, 2, "old"), broken, one(8, 9, "old")]) == pytest.approx(4)
    assert seen.longest_outage([one(1, 2, "old")]) == 0
