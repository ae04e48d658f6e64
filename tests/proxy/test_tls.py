"""Certificates of a real ACME server (Pebble), and what a real client makes of them."""

import http.client
import ssl
import warnings

import pytest

from .caddy import HOST, Caddy, exchange, wait_for
from .pebble import pebble

pytestmark = pytest.mark.needs_pebble

HOUR = 3600


def serve(folder, origin, **settings: str) -> Caddy:
    """Not yet started: the CA has to know its ports."""
    caddy = Caddy(folder, {"TLS_MODE": "acme", "BACKEND_BLUE": origin.address, **settings})
    (caddy.live / "backend.blue").touch()
    return caddy


def serial(caddy: Caddy, trust: ssl.SSLContext) -> str | None:
    """Of the certificate that a client gets who checks it; None while there is none that is good."""
    connection = caddy.secure_connection(trust)
    try:
        connection.connect()
        return connection.sock.getpeercert()["serialNumber"]
    except (ssl.SSLError, OSError):
        return None
    finally:
        connection.close()


def ask(caddy: Caddy, trust: ssl.SSLContext, path: str = "/version", host: str = HOST):
    connection = caddy.secure_connection(trust)
    try:
        return exchange(connection, path, headers={"Host": host})
    finally:
        connection.close()


@pytest.fixture
def site(tmp_path, blue):
    """A Caddy with a certificate, a client's trust in its CA, and the CA."""
    caddy = serve(tmp_path, blue)
    with pebble(tmp_path / "ca", caddy, validity_seconds=HOUR) as authority:
        caddy.settings |= authority.settings
        try:
            caddy.start()
            trust = authority.trust()
            wait_for("a certificate is issued", lambda: serial(caddy, trust))
            yield caddy, trust, authority
        finally:
            caddy.stop()


def test_a_certificate_is_issued_and_the_site_is_served_over_tls(site, blue):
    caddy, trust, _ = site
    answer = ask(caddy, trust)
    assert (answer.status, answer.release) == (200, "r-blue")
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    assert answer.headers["Alt-Svc"] is None  # no HTTP/3 is announced that nobody serves
    headers = blue.received[-1].headers
    assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-For"]) == ("https", "127.0.0.1")
    # Plain HTTP: once to HTTPS, path and query kept.
    redirected = caddy.ask("/a/b?c=d&e=%2F")
    assert redirected.status == 308
    assert redirected.headers["Location"] == f"https://{HOST}/a/b?c=d&e=%2F"
    # Somebody else's host, over either.
    assert ask(caddy, trust, "/admin/login/", host="deploy-smoketest.invalid").status == 421
    assert caddy.ask("/", Host="deploy-smoketest.invalid").status == 421
    # HTTP/2 is spoken with who asks for it.
    trust.set_alpn_protocols(["h2"])
    connection = caddy.secure_connection(trust)
    connection.connect()
    assert connection.sock.selected_alpn_protocol() == "h2"
    connection.close()


def test_tls_below_1_2_is_refused(site):
    caddy, trust, _ = site
    handshakes = {name: handshake(caddy, trust, name) for name in ("TLSv1", "TLSv1_1", "TLSv1_2", "TLSv1_3")}
    assert handshakes == {
        "TLSv1": "TLSV1_ALERT_PROTOCOL_VERSION",
        "TLSv1_1": "TLSV1_ALERT_PROTOCOL_VERSION",
        "TLSv1_2": "TLSv1.2",
        "TLSv1_3": "TLSv1.3",
    }


def handshake(caddy: Caddy, trust: ssl.SSLContext, version: str) -> str | None:
    """The version that was agreed on, or the alert."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(
        cadata="".join(map(ssl.DER_cert_to_PEM_cert, trust.get_ca_certs(binary_form=True)))
    )
    # OpenSSL itself speaks nothing below 1.2 otherwise, and this would prove nothing about the server.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that these are old is the point
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    connection = caddy.secure_connection(context)
    try:
        connection.connect()
        return connection.sock.version()
    except ssl.SSLError as error:
        return error.reason
    finally:
        connection.close()


def test_the_site_is_served_while_the_ca_is_down_and_over_a_restart_too(site):
    caddy, trust, authority = site
    before = serial(caddy, trust)
    authority.kill()
    assert ask(caddy, trust).status == 200
    caddy.stop()
    caddy.start()
    wait_for("it serves again", lambda: serial(caddy, trust))
    assert serial(caddy, trust) == before
    assert ask(caddy, trust).release == "r-blue"


def test_a_certificate_is_renewed_in_time_without_closing_a_connection(tmp_path, blue):
    """Pebble gives it 15 s; a third of its time before the end, 5 s, it is exchanged."""
    caddy = serve(tmp_path, blue, RENEW_INTERVAL="500ms")
    with pebble(tmp_path / "ca", caddy, validity_seconds=15) as authority:
        caddy.settings |= authority.settings
        try:
            caddy.start()
            trust = authority.trust()
            wait_for("a certificate is issued", lambda: serial(caddy, trust))
            first = serial(caddy, trust)
            kept: http.client.HTTPConnection = caddy.secure_connection(trust)
            assert exchange(kept, "/version", headers={"Host": HOST}).status == 200
            wait_for("another one is served", lambda: serial(caddy, trust) not in (first, None))
            assert exchange(kept, "/version", headers={"Host": HOST}).status == 200
            assert ask(caddy, trust).status == 200
            kept.close()
        finally:
            caddy.stop()
