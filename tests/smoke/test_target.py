"""Addresses: what is taken, and that every mistake is one finding and exit code 2."""

from __future__ import annotations

import pytest

from deploy.reporting.findings import Refusal
from deploy.smoke import parse_target


@pytest.mark.parametrize(
    ("url", "host", "port", "header", "origin"),
    [
        ("http://127.0.0.1:8001", "127.0.0.1", 8001, "127.0.0.1:8001", "http://127.0.0.1:8001"),
        ("https://app.example.com/", "app.example.com", 443, "app.example.com", "https://app.example.com"),
        ("https://App.Example.com:443", "app.example.com", 443, "app.example.com", "https://app.example.com"),
        ("http://[::1]:80/", "::1", 80, "[::1]", "http://[::1]"),
        ("http://backend_1:8000", "backend_1", 8000, "backend_1:8000", "http://backend_1:8000"),
        ("https://bücher.example", "xn--bcher-kva.example", 443, "xn--bcher-kva.example", None),
    ],
)
def test_addresses_that_can_be_smoked(
    url: str, host: str, port: int, header: str, origin: str | None
) -> None:
    target = parse_target(url)
    assert (target.host, target.port, target.host_header) == (host, port, header)
    assert target.address == host
    assert origin in (target.origin, None)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "app.example.com",
        "ftp://app.example.com",
        "file:///etc/passwd",
        "http://",
        "http:///path",
        "http://user:secret-of-user@app.example.com",
        "http://app.example.com:0",
        "http://app.example.com:99999",
        "http://app.example.com:http",
        "http://app.example.com/?q=1",
        "http://app.example.com/#top",
        "http://app example.com",
        "http://app.example.com\r\nX-Evil: 1",
        "http://app..example.com",
        "http://[::1",
        "http://" + "a" * 300,
    ],
)
def test_an_address_that_can_not_be_used_is_one_finding(url: str) -> None:
    with pytest.raises(Refusal) as refused:
        parse_target(url)
    assert [finding.id for finding in refused.value.findings] == ["deploy.S001"]
    assert refused.value.exit_code == 2
    assert "secret-of-user" not in str(refused.value)


def test_a_private_port_can_be_asked_in_the_public_name() -> None:
    target = parse_target("http://127.0.0.1:8001", host="app.example.com", behind_proxy=True)
    assert target.origin == "https://app.example.com"
    assert target.secure
    assert target.url == "http://127.0.0.1:8001"


def test_resolve_connects_elsewhere() -> None:
    target = parse_target("https://app.example.com", resolve="app.example.com:443:10.0.0.4")
    assert (target.host, target.address, target.host_header) == (
        "app.example.com",
        "10.0.0.4",
        "app.example.com",
    )
    assert parse_target("http://a.example", resolve="a.example:80:[::1]").address == "::1"


@pytest.mark.parametrize(
    "resolve",
    ["app.example.com", "app.example.com:443", "app.example.com:443:name", "other:443:10.0.0.4", "::"],
)
def test_a_resolve_that_does_not_fit_is_refused(resolve: str) -> None:
    with pytest.raises(Refusal, match=r"deploy\.S001"):
        parse_target("https://app.example.com", resolve=resolve)


@pytest.mark.parametrize("host", ["a b", "a\r\nX: 1", "a/b", "u@a", "a:0", "a:x", "-", ""])
def test_a_host_header_that_is_none_is_refused(host: str) -> None:
    if not host:  # not given
        assert parse_target("http://a.example", host=host).host_header == "a.example"
        return
    with pytest.raises(Refusal, match=r"deploy\.S001"):
        parse_target("http://a.example", host=host)
