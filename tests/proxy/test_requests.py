"""What the proxy lets through, adds, refuses and writes down. test_switch.py says to whom it goes."""

import contextlib
import gzip
import socket
import threading
import uuid

import pytest

from optifit.api.throttle import client_network

from .caddy import HOST, exchange, running, wait_for
from .origin import serving

pytestmark = pytest.mark.needs_caddy

# What must be found in no log, and where it is sent.
SECRET = "s3cr3t-never-logged"


def raw(caddy, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", caddy.http_port), timeout=60, source_address=(source, 0))


def test_the_load_balancer_is_believed_about_its_client_only(caddy, blue, rf, settings):
    """It appends "client, load balancer"; what stood before that the client wrote itself."""
    caddy.ask(
        "/api/x",
        X_Forwarded_For="6.6.6.6, 203.0.113.9, 198.51.100.1",
        X_Forwarded_Proto="https",
        X_Forwarded_Host="evil",
    )
    headers = blue.received[-1].headers
    assert headers["X-Forwarded-For"] == "203.0.113.9"
    assert headers["X-Forwarded-Proto"] == "https"
    assert headers["Host"] == HOST
    assert headers.get("X-Forwarded-Host") != "evil"
    settings.TRUSTED_PROXIES = 1  # as compose.gce.yaml sets it, whatever TLS_MODE is
    request = rf.get("/", headers={"X-Forwarded-For": headers["X-Forwarded-For"]})
    assert client_network(request) == "203.0.113.9"


def test_nobody_else_is_believed_about_anything(caddy, blue):
    caddy.ask(
        "/api/x",
        source="127.0.0.3",
        X_Forwarded_For="6.6.6.6",
        X_Forwarded_Proto="https",
        X_Forwarded_Host="evil",
        X_Real_Ip="6.6.6.6",
        Forwarded="for=6.6.6.6",
        X_Request_Id="chosen",
    )
    headers = blue.received[-1].headers
    assert headers["X-Forwarded-For"] == "127.0.0.3"
    assert headers["X-Forwarded-Proto"] == "http"
    assert headers.get("X-Forwarded-Host") != "evil"
    assert "X-Real-Ip" not in headers
    assert "Forwarded" not in headers
    assert uuid.UUID(headers["X-Request-Id"])


def test_strangers_and_other_hosts_are_refused(caddy, blue):
    assert caddy.ask("/", source="127.0.0.9").status == 403
    assert caddy.ask("/healthz", source="127.0.0.9").status == 403
    assert caddy.ask("/", Host="deploy-smoketest.invalid").status == 421
    assert blue.received == []


def test_the_load_balancer_s_health_check_is_answered_by_the_proxy_itself(caddy, blue):
    assert caddy.ask("/healthz", Host="10.0.0.2").status == 200
    assert blue.received == []


def test_plain_http_is_sent_to_https_once(caddy):
    answer = caddy.ask("/a/b?c=d&e=%2F", X_Forwarded_Proto="http")
    assert (answer.status, answer.headers["Location"]) == (308, f"https://{HOST}/a/b?c=d&e=%2F")


def test_every_answer_has_hsts_a_request_id_and_no_server_name(caddy, blue):
    answer = caddy.ask("/api/x")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert uuid.UUID(answer.headers["X-Request-Id"])
    assert answer.headers["X-Request-Id"] == blue.received[-1].headers["X-Request-Id"]
    assert answer.headers["Server"] is None
    (caddy.live / "maintenance").touch()
    refused = caddy.ask("/api/x")
    assert refused.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert refused.headers["X-Request-Id"]
    assert refused.headers["Server"] is None


def test_what_the_application_says_itself_is_left_alone(caddy, blue):
    blue.headers = {"Strict-Transport-Security": "max-age=60", "X-Served-By": "me"}
    answer = caddy.ask("/api/x")
    assert answer.headers.get_all("Strict-Transport-Security") == ["max-age=60"]
    assert answer.headers.get_all("X-Served-By") == ["blue"]  # except this, which is the proxy's to say


def test_answers_are_compressed_for_who_takes_it(caddy):
    answer = caddy.ask("/api/x", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert b"r-blue" in gzip.decompress(answer.body)
    assert caddy.ask("/api/x", Accept_Encoding="zstd").headers["Content-Encoding"] == "zstd"
    assert caddy.ask("/api/x").headers["Content-Encoding"] is None


def test_maintenance_stops_everything_but_the_health_endpoints(caddy, blue):
    (caddy.live / "maintenance").touch()
    for method in ("GET", "POST"):
        refused = caddy.ask("/api/images", method, body=b"{}" if method == "POST" else None)
        assert (refused.status, refused.headers["Content-Type"]) == (503, "application/json")
        assert refused.body == b'{"detail": [{"field": null, "message": "Service Unavailable."}]}'
        assert int(refused.headers["Retry-After"]) > 0
    page = caddy.ask("/admin/")
    assert (page.status, page.headers["Content-Type"]) == (503, "text/html; charset=utf-8")
    assert b'<html lang="en">' in page.body
    assert b"<h1>We will be back shortly</h1>" in page.body
    assert "script" not in page.headers["Content-Security-Policy"]
    assert blue.received == []
    for path in ("/livez", "/readyz", "/startupz", "/version"):
        assert caddy.ask(path).release == "r-blue"
    (caddy.live / "maintenance").unlink()
    assert caddy.ask("/api/images").status == 200


def test_a_body_over_the_limit_is_refused_whether_its_length_was_said_or_not(caddy, blue):
    limit = 11_534_336
    most = caddy.ask("/api/images", "POST", body=b"x" * limit)
    assert (most.status, blue.received[-1].body_bytes) == (200, limit)
    for head, body in (
        (f"Content-Length: {limit + 1}", b"x" * (limit + 1)),
        ("Transfer-Encoding: chunked", b"100000\r\n" + (b"x" * 0x100000 + b"\r\n100000\r\n") * 12),
    ):
        client = raw(caddy)
        request = f"POST /api/images HTTP/1.1\r\nHost: {HOST}\r\n{head}\r\n\r\n".encode() + body
        sender = threading.Thread(target=send_until_refused, args=(client, request))
        sender.start()
        assert client.recv(64).startswith(b"HTTP/1.1 413 "), head
        client.close()
        sender.join()


def send_until_refused(client: socket.socket, request: bytes) -> None:
    with contextlib.suppress(OSError):  # refused while we are still sending
        client.sendall(request)


def test_a_slow_sender_holds_no_backend(caddy, blue):
    """Sixteen such connections would be all threads that two workers have."""
    client = raw(caddy)
    client.sendall(
        f"POST /api/tokens HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 20\r\n\r\n0123456789".encode()
    )
    for _ in range(5):
        assert caddy.ask("/version").status == 200
    assert blue.begun == 5
    client.sendall(b"0123456789")
    assert client.recv(64).startswith(b"HTTP/1.1 200 ")
    assert blue.received[-1].body_bytes == 20
    client.close()


def test_a_client_that_never_ends_its_request_is_cut_off(tmp_path, settings_of_caddy, blue):
    with running(tmp_path, **settings_of_caddy, READ_HEADER_TIMEOUT="1s", READ_BODY_TIMEOUT="2s") as caddy:
        no_head, no_body = raw(caddy), raw(caddy)
        no_head.sendall(f"GET /version HTTP/1.1\r\nHost: {HOST}\r\nX-Slow: ".encode())
        no_body.sendall(
            f"POST /api/tokens HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 20\r\n\r\n01234".encode()
        )
        assert b"200 OK" not in no_head.recv(1024)
        wait_for("it is written down", lambda: len(caddy.access_log()) == 1)
        # 499 in newer ones; Caddy 2.6 gave up without a status.
        assert caddy.access_log()[0]["status"] in (0, 499)
        assert blue.received == []
        no_head.close()
        no_body.close()


def test_no_log_has_a_secret_and_each_request_is_one_line(caddy, blue):
    blue.headers = {
        "Set-Cookie": f"sessionid={SECRET}",
        "Location": f"https://storage.example/x?sig={SECRET}",
    }
    sent = {
        "Authorization": f"Bearer {SECRET}",
        "Proxy_Authorization": SECRET,
        "Cookie": f"sessionid={SECRET}",
        "X_Csrftoken": SECRET,
        "X_Api_Key": SECRET,
        "X_Goog_Iap_Jwt_Assertion": SECRET,
        "Referer": f"https://{HOST}/reset?token={SECRET}",
        "User_Agent": 'hostile" agent\\ ',
    }
    caddy.ask(f"/api/x?token={SECRET}", **sent)
    (caddy.live / "backend.blue").rename(caddy.live / "backend.green")
    blue.headers = {}
    (caddy.live / "maintenance").touch()
    caddy.ask(f"/api/x?token={SECRET}", **sent)
    (caddy.live / "maintenance").unlink()
    wait_for("two lines of the log", lambda: len(caddy.access_log()) == 2)
    first, second = caddy.access_log()
    assert (first["request"]["uri"], first["status"]) == ("/api/x", 200)
    assert first["resp_headers"]["X-Served-By"] == ["blue"]
    assert first["resp_headers"]["X-Release"] == ["r-blue"]
    assert first["resp_headers"]["Location"] == ["https://storage.example/x"]
    assert first["request"]["headers"]["User-Agent"] == ['hostile" agent\\']
    assert (second["request"]["uri"], second["status"]) == ("/api/x", 503)
    assert SECRET not in (caddy.folder / "log" / "access.log").read_text()
    assert SECRET not in caddy.log


def test_what_is_told_of_a_backend_that_is_gone_has_no_secret_either(tmp_path, settings_of_caddy):
    with serving("r-gone") as gone:
        settings_of_caddy["BACKEND_BLUE"] = gone.address
    with running(tmp_path, **settings_of_caddy) as caddy:
        answer = caddy.ask(
            f"/api/x?token={SECRET}", Cookie=f"sessionid={SECRET}", Authorization=f"Bearer {SECRET}"
        )
        assert answer.status == 502
        wait_for("a line about it", lambda: "connection refused" in caddy.log)
        assert SECRET not in caddy.log


def test_a_stop_lets_requests_in_flight_finish(caddy, blue):
    answers = []
    client = threading.Thread(target=lambda: answers.append(caddy.ask("/api/slow")))
    client.start()
    assert blue.waiting.wait(30)
    process = caddy.process
    process.terminate()
    wait_for("it accepts nobody any more", lambda: "shutting down" in caddy.log or process.poll() is not None)
    blue.go_on.set()
    client.join()
    assert [answer.status for answer in answers] == [200]
    assert process.wait(60) == 0


def test_one_connection_carries_many_requests(caddy):
    connection = caddy.connection()
    for _ in range(3):
        assert exchange(connection, "/version", headers={"Host": HOST}).status == 200
    connection.close()
