"""How the container stops and how it replaces its workers: real requests, none of them lost."""

from __future__ import annotations

import http.client
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.docker.serving import LIMIT_SECONDS, Server, eventually, serving
from tests.health.serving import database, server_entry, site_environment

APPLICATION = "tests.docker.slow_site:application"
GET = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"
# The proxy drops connections that were idle for so long (docker/caddy), sooner than a stopping worker does.
PROXY_KEEPS_SECONDS = 1


@pytest.fixture(scope="module")
def environment() -> Iterator[dict[str, str]]:
    with database() as name:
        yield site_environment(server_entry(name), WEB_CONCURRENCY="2", WEB_THREADS="8")


def status(server: Server, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


def test_drains_first_and_then_finishes_what_is_in_flight(environment):
    # A drain without end, cut short by the second SIGTERM: nothing here depends on how busy the machine is.
    with serving(APPLICATION, **environment | {"WEB_DRAIN_SECONDS": "3600"}) as server:
        kept = http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS)
        assert asked(kept) == (200, "keep-alive")

        server.process.send_signal(signal.SIGTERM)
        eventually(lambda: status(server, "/readyz") == 503, server.process)
        assert status(server, "/livez") == 200  # not only known connections: new ones too
        assert asked(kept) == (200, "keep-alive")

        with ExitStack() as open_connections:
            slow = [open_connections.enter_context(server.connect()) for _ in range(4)]
            for connection in slow:
                connection.sendall(GET % b"/slow")
            heads = [received_until(connection, b"begun ") for connection in slow]
            assert all(head.startswith(b"HTTP/1.1 200 OK") for head in heads)

            server.process.send_signal(signal.SIGTERM)
            # The kept connection is served on, until an answer says that it is the last.
            eventually(lambda: asked(kept) == (200, "close"), server.process)
            for connection in slow:
                received_until(connection, b"finished")
        assert server.process.wait(LIMIT_SECONDS) == 0
        with pytest.raises(ConnectionRefusedError):
            server.connect()


def received_until(connection, end: bytes) -> bytes:
    received = b""
    while end not in received:
        part = connection.recv(65536)
        assert part, received
        received += part
    return received


def asked(kept: http.client.HTTPConnection) -> tuple[int, str | None]:
    """Status and the header Connection of one more answer on this connection."""
    kept.request("GET", "/livez")
    answer = kept.getresponse()
    answer.read()
    return answer.status, answer.getheader("Connection")


def test_workers_are_replaced_without_losing_a_request(environment):
    recycling = {"WEB_MAX_REQUESTS": "20", "WEB_DRAIN_SECONDS": "0"}
    with serving(APPLICATION, **environment | recycling) as server:
        connections = [
            http.client.HTTPConnection("127.0.0.1", server.port, timeout=LIMIT_SECONDS) for _ in range(3)
        ]
        used = dict.fromkeys(connections, 0.0)
        for number in range(200):
            connection = connections[number % 3]
            if time.monotonic() - used[connection] > PROXY_KEEPS_SECONDS:
                connection.close()
            connection.request("POST", f"/nowhere/{number}", body=b"x" * 100)  # nobody repeats a POST
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 301  # to HTTPS: Django has answered
            used[connection] = time.monotonic()
        for connection in connections:
            connection.close()
        processes = {line["process"] for line in server.lines(server.out)}
    assert len(processes) > 4
