"""What a real gunicorn writes with the container's settings while hostile clients talk to it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from deploy.logs.gunicorn import path_of
from tests.docker.serving import Server, eventually, serving

from .broken_site import REGISTERED

SECRET = b"topsecret"
TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
HOSTILE = (
    # A path and headers that try to leave their JSON string, and secrets wherever a client puts them.
    b'GET /a"\\%0a%22,"severity":"x\xe9?token=topsecret#topsecret HTTP/1.1\r\nHost: x\r\n'
    b'User-Agent: "},\\\xff{"severity":"CRITICAL\r\nCookie: sessionid=topsecret\r\n'
    b'Authorization: Bearer topsecret\r\nReferer: https://x/?topsecret\r\nX-Request-Id: "topsecret\r\n\r\n',
    b"GET http://user:topsecret@x/absolute?topsecret HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET /broken?token=topsecret HTTP/1.1\r\nHost: x\r\n\r\n",
    # What gunicorn itself refuses: its own messages quote what they refuse.
    b"GET /?token=topsecret HTTP/9.9\r\nHost: x\r\n\r\n",
    b"GET /?token=topsecret with a blank HTTP/1.1\r\nHost: x\r\n\r\n",
    b"G\xe9T\x01 /?token=topsecret HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA topsecret: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nA: topsecret\x00\x0b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nExpect: topsecret\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: topsecret\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\ntopsecret\r\n\r\n",
    b"GET /"
    + b"\xe9" * 3000
    + b"?topsecret HTTP/1.1\r\nHost: x\r\nUser-Agent: "
    + b"\xe9" * 3000
    + b"\r\n\r\n",
    b"\x16\x03\x01topsecret\r\n\r\n",
)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    environment = {"RELEASE": "r1", "GOOGLE_CLOUD_PROJECT": "optifit", "WEB_DRAIN_SECONDS": "0"}
    with serving("tests.logs.broken_site:application", WEB_CONCURRENCY="1", **environment) as serving_now:
        yield serving_now


def closing(request: bytes) -> bytes:
    head, _, body = request.partition(b"\r\n\r\n")
    return head + b"\r\nConnection: close\r\n\r\n" + body


def test_every_line_is_one_json_object_without_a_secret(server):
    for request in HOSTILE:
        assert server.exchange(closing(request)).startswith(b"HTTP/1.1 ")
    for file in (server.out, server.error):
        raw = file.read_bytes()
        assert SECRET not in raw
        assert REGISTERED.encode() not in raw
        for line in server.lines(file):
            assert {"severity", "time", "message"} <= line.keys()
            assert line["logging.googleapis.com/labels"] == {"release": "r1"}
    assert {line["severity"] for line in server.lines(server.out)} == {"INFO", "ERROR"}
    assert max(len(line) for line in server.out.read_bytes().splitlines(keepends=True)) < 4096  # PIPE_BUF


def test_an_access_line_says_what_cloud_logging_asks_for(server):
    trace = f"00-{TRACE}-{SPAN}-01"
    headers = f"User-Agent: a browser\r\nX-Request-Id: request-1\r\ntraceparent: {trace}\r\n"
    server.exchange(closing(f"POST /found?a=1 HTTP/1.1\r\nHost: x\r\n{headers}\r\n".encode()))
    line = next(line for line in server.lines(server.out) if line["message"] == "POST /found 200")
    request = line.pop("httpRequest")
    assert request.pop("latency").endswith("s")
    assert request == {
        "requestMethod": "POST",
        "requestUrl": "/found",
        "status": 200,
        "responseSize": "2",
        "userAgent": "a browser",
        "protocol": "HTTP/1.1",
    }
    assert line["severity"] == "INFO"
    assert line["request_id"] == "request-1"
    assert line["logging.googleapis.com/trace"] == f"projects/optifit/traces/{TRACE}"


def test_an_exception_is_logged_with_its_traceback_and_path(server):
    server.exchange(closing(b"GET /broken?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"))
    errors = [line for line in server.lines(server.error) if line["severity"] == "ERROR"]
    assert errors[-1]["message"].startswith("Error handling request GET /broken\nTraceback ")
    assert errors[-1]["message"].endswith("RuntimeError: it can't say [redacted]")


def test_probes_that_are_answered_well_are_not_logged(server):
    server.exchange(closing(b"GET /livez?a=1 HTTP/1.1\r\nHost: x\r\n\r\n"))
    server.exchange(closing(b"GET /last HTTP/1.1\r\nHost: x\r\n\r\n"))
    eventually(lambda: server.lines(server.out)[-1]["message"] == "GET /last 200")
    assert "/livez" not in server.out.read_text()


@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/a/b?c=d", "/a/b"),
        ("/a#b?c", "/a"),
        ("*", "*"),
        ("", ""),
        ("https://user:password@host/a?b", "/a"),
        ("https://host", "/"),
        ("/a://b", "/a://b"),
        ("/caf\xe9%0A", "/caf%E9%0A"),
        ("/" + "a" * 9000, "/" + "a" * 1499),
    ],
)
def test_the_path_of_a_target(target, path):
    assert path_of(target) == path
