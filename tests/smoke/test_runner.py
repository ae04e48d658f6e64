"""The way there: servers that start, hang, drip, break off, or lack a certificate; and what is skipped."""

from __future__ import annotations

import dataclasses
import datetime
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from django.test import override_settings

from deploy.conf import DeployConf
from deploy.reporting.report import Step
from deploy.smoke import exchange, run_probes
from deploy.smoke.probe import Context, Probe
from deploy.smoke.probes import PROBES
from tests.health.serving import black_hole

from .broken import Reply, Site, healthy, json_reply, served


@pytest.fixture(autouse=True)
def _settings() -> Iterator[None]:
    with override_settings(STATIC_URL="/static/", DEBUG=False):
        yield


@contextmanager
def talking(talk: Callable[[socket.socket], None], context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A server that reads a request's first bytes and then does `talk`."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with suppress(OSError), connection:
            wire = context.wrap_socket(connection, server_side=True) if context else connection
            wire.recv(4096)
            talk(wire)

    def accept() -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http{'s' if context else ''}://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def ids(steps: list[Step]) -> list[str]:
    return [finding.id for step in steps for finding in step.findings]


def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        return int(reserved.getsockname()[1])


def test_a_server_that_is_not_there_is_told_once_within_the_limit(conf: DeployConf) -> None:
    began = time.monotonic()
    steps = run_probes(conf, f"http://127.0.0.1:{closed_port()}", release="r1", timeout_seconds=1)
    assert time.monotonic() - began < 1.5
    assert ids(steps) == ["deploy.S002"]
    assert "connection refused" in steps[0].findings[0].message
    assert all("did not come up" in str(step.skipped) for step in steps[1:])
    assert len(steps) == 12


def test_a_name_that_does_not_resolve_is_not_waited_for(conf: DeployConf) -> None:
    steps = run_probes(conf, "http://nowhere.invalid", release="r1", timeout_seconds=20)
    assert set(ids(steps)) == {"deploy.S002"}
    assert "does not resolve" in steps[0].findings[0].message
    assert sum(step.seconds for step in steps) < 10


def test_waits_for_a_server_that_is_starting(conf: DeployConf) -> None:
    replies = healthy()
    ready_at = time.monotonic() + 0.8
    replies["/readyz"] = lambda _: (
        json_reply({"status": "ok"}) if time.monotonic() > ready_at else Reply(503, {"Retry-After": "2"})
    )
    with served(Site(replies)) as site:
        steps = run_probes(conf, site.url, release="r1", behind_proxy=True)
    assert ids(steps) == []
    assert steps[1].seconds > 0.5


def test_a_server_that_never_becomes_ready_is_told_and_the_rest_skipped(conf: DeployConf) -> None:
    with served(Site({**healthy(), "/readyz": Reply(503)})) as site:
        steps = run_probes(conf, site.url, release="r1", timeout_seconds=1)
    assert ids(steps) == ["deploy.S011"]
    assert [step.name for step in steps if not step.skipped] == ["livez", "readyz"]


def test_a_single_503_while_servers_are_replaced_is_asked_again(conf: DeployConf) -> None:
    replies = healthy()
    count = iter(range(100))
    replies["/api/items"] = lambda _: Reply(503) if next(count) == 0 else json_reply([])
    with served(Site(replies)) as site:
        assert ids(run_probes(conf, site.url, release="r1", behind_proxy=True)) == []


def test_a_post_is_never_sent_twice(conf: DeployConf) -> None:
    with served(Site({**healthy(), "POST /api/token": Reply(503)})) as site:
        assert ids(run_probes(conf, site.url, release="r1", behind_proxy=True)) == ["deploy.S060"]
        assert [(method, path) for method, path, _ in site.requests].count(("POST", "/api/token")) == 1


def test_a_server_that_says_nothing_is_given_up_in_time(conf: DeployConf) -> None:
    began = time.monotonic()
    with black_hole() as port:
        steps = run_probes(
            dataclasses.replace(conf, check_timeout_seconds=0.3),
            f"http://127.0.0.1:{port}",
            release="r1",
            timeout_seconds=3,
        )
    assert set(ids(steps)) == {"deploy.S003"}
    assert time.monotonic() - began < 3.5


@pytest.mark.parametrize(
    "what", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n"]
)
def test_a_server_that_drips_does_not_outlast_the_limit(conf: DeployConf, what: bytes) -> None:
    def drip(wire: socket.socket) -> None:
        wire.sendall(what)
        while True:
            wire.sendall(b"x")
            time.sleep(0.05)

    began = time.monotonic()
    with talking(drip) as url:
        steps = run_probes(
            dataclasses.replace(conf, check_timeout_seconds=0.3), url, release="r1", timeout_seconds=2
        )
    assert set(ids(steps)) == {"deploy.S003"}
    assert time.monotonic() - began < 3


def test_a_server_that_falls_silent_in_the_middle_does_not_outlast_the_limit(conf: DeployConf) -> None:
    def fall_silent(wire: socket.socket) -> None:
        time.sleep(0.7)
        wire.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\nx")
        time.sleep(3)

    with talking(fall_silent) as url:
        [step] = run_probes(
            dataclasses.replace(conf, check_timeout_seconds=1), url, release="r1", probes=PROBES[:1]
        )
    assert ids([step]) == ["deploy.S003"]
    assert step.seconds < 1.4


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nshort",
        b"SSH-2.0-OpenSSH_9\r\n",
        b"HTTP/1.1 999999 WHAT\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
    ],
)
def test_an_answer_that_is_no_http_or_breaks_off_is_told(conf: DeployConf, answer: bytes) -> None:
    with talking(lambda wire: wire.sendall(answer)) as url:
        steps = run_probes(conf, url, release="r1", timeout_seconds=4)
    assert set(ids(steps)) == {"deploy.S002"}


def test_an_untrusted_certificate_is_told(conf: DeployConf, tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_self_signed(tmp_path))
    with talking(lambda wire: None, context) as url:
        steps = run_probes(conf, url, release="r1", timeout_seconds=4)
    assert set(ids(steps)) == {"deploy.S004"}
    assert "self-signed" in steps[0].findings[0].message


def test_a_trusted_server_is_asked_over_tls_by_its_name(
    conf: DeployConf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = _self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    monkeypatch.setattr(exchange, "_tls", lambda: ssl.create_default_context(cafile=str(certificate)))
    replies = healthy()
    with served(Site(replies, host="app.invalid"), context) as site:
        port = site.url.rpartition(":")[2]
        given = {"release": "r1", "resolve": f"app.invalid:{port}:127.0.0.1"}
        assert ids(run_probes(conf, f"https://app.invalid:{port}", **given)) == []
        replies["/admin/login/"].headers["Strict-Transport-Security"] = ""  # type: ignore[union-attr]  # a Reply
        assert ids(run_probes(conf, f"https://app.invalid:{port}", **given)) == ["deploy.S033"]
        other = {"release": "r1", "resolve": f"other.invalid:{port}:127.0.0.1", "timeout_seconds": 3}
        assert set(ids(run_probes(conf, f"https://other.invalid:{port}", **other))) == {"deploy.S004"}


def _self_signed(folder: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName(
                [x509.DNSName("app.invalid"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            ),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return path


def test_one_probes_fault_is_its_finding_and_the_others_go_on(conf: DeployConf) -> None:
    def fault(context: Context, step: Step) -> None:
        raise KeyError("unforeseen")

    def fine(context: Context, step: Step) -> None:
        step.facts["looked"] = True

    steps = run_probes(
        conf, "http://127.0.0.1:1", release=None, probes=[Probe("fault", fault), Probe("fine", fine)]
    )
    assert ids(steps) == ["deploy.S009"]
    assert steps[1].facts == {"looked": True}


def test_a_probe_that_hangs_for_good_is_left_behind(conf: DeployConf) -> None:
    release = threading.Event()
    probe = Probe("hung", lambda context, step: [release.wait(20), None][1])  # type: ignore[arg-type, return-value]  # returns None
    began = time.monotonic()
    steps = run_probes(conf, "http://127.0.0.1:1", release=None, probes=[probe], timeout_seconds=0.3)
    release.set()
    assert ids(steps) == ["deploy.S003"]
    assert time.monotonic() - began < 1


def test_what_is_not_configured_is_skipped_and_says_so(conf: DeployConf) -> None:
    bare = dataclasses.replace(conf, smoke_account="", smoke_password="", smoke_api_path="")
    with served(Site(healthy())) as site:
        steps = run_probes(bare, site.url, release=None, behind_proxy=True)
        asked = {method for method, _, _ in site.requests}
    skipped = {step.name: step.skipped for step in steps if step.skipped}
    assert set(skipped) == {"release header", "login", "api"}
    assert "SMOKE_ACCOUNT" in str(skipped["login"])
    assert "SMOKE_API_PATH" in str(skipped["api"])
    assert asked == {"GET"}
    assert ids(steps) == []


def test_an_issued_token_is_masked_from_then_on(conf: DeployConf) -> None:
    from deploy.reporting.redaction import redact

    with served(Site({**healthy(), "POST /api/token": json_reply({"token": "tok-8af3c19"})})) as site:
        run_probes(conf, site.url, release="r1", behind_proxy=True)
        sent = [
            headers.get("HTTP_AUTHORIZATION") for _, path, headers in site.requests if path == "/api/items"
        ]
    assert sent == ["Bearer tok-8af3c19"]
    assert "8af3c19" not in redact("token tok-8af3c19")


def test_host_and_forwarded_protocol_are_sent(conf: DeployConf) -> None:
    with served(Site(healthy(), host="app.example.com")) as site:
        steps = run_probes(conf, site.url, release="r1", host="app.example.com", behind_proxy=True)
        hosts = {headers["HTTP_HOST"] for _, _, headers in site.requests}
        protocols = {headers.get("HTTP_X_FORWARDED_PROTO") for _, _, headers in site.requests}
    assert ids(steps) == []
    assert hosts == {"app.example.com", "deploy-smoketest.invalid"}
    assert protocols == {"https"}


def test_a_name_can_be_resolved_by_hand(conf: DeployConf) -> None:
    with served(Site(healthy(), host="app.invalid")) as site:
        port = site.url.rpartition(":")[2]
        steps = run_probes(
            conf, f"http://app.invalid:{port}", release="r1", resolve=f"app.invalid:{port}:127.0.0.1"
        )
    assert ids(steps) == []


def test_static_files_of_another_host_are_asked_there(conf: DeployConf) -> None:
    with served(Site(healthy())) as cdn:
        replies = healthy()
        for path in ("/", "/admin/login/"):
            page = replies[path]
            assert isinstance(page, Reply)
            page.body = str(page.body).replace("/static/", f"{cdn.url}/static/")
        with override_settings(STATIC_URL=f"{cdn.url}/static/"), served(Site(replies)) as site:
            steps = run_probes(conf, site.url, release="r1", behind_proxy=True)
        assert ids(steps) == []
        assert [path for _, path, _ in cdn.requests] == ["/static/site.0123456789ab.css"]


def test_redirects_on_the_same_server_are_followed_but_not_for_ever(conf: DeployConf) -> None:
    replies = healthy()
    replies["/"] = Reply(302, {"Location": "/home"})
    replies["/home"] = healthy()["/"]
    with served(Site(replies)) as site:
        assert ids(run_probes(conf, site.url, release="r1")) == []
        replies["/home"] = Reply(302, {"Location": "/"})
        assert ids(run_probes(conf, site.url, release="r1", timeout_seconds=5)) == []
        assert [path for _, path, _ in site.requests].count("/home") <= 4
