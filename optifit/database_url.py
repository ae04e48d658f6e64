"""DATABASE_URL → an entry of Django's DATABASES."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

# libpq's connection parameters that make sense here
# (https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS).
POSTGRESQL_OPTIONS = frozenset(
    {
        "application_name",
        "channel_binding",
        "connect_timeout",
        "gssencmode",
        "keepalives",
        "keepalives_count",
        "keepalives_idle",
        "keepalives_interval",
        "options",
        "passfile",
        "require_auth",
        "sslcert",
        "sslcrl",
        "sslkey",
        "sslmode",
        "sslnegotiation",
        "sslrootcert",
        "ssl_min_protocol_version",
        "target_session_attrs",
        "tcp_user_timeout",
    }
)
SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
# A server that drops packets must not hold a worker for the kernel's two minutes.
CONNECT_TIMEOUT_SECONDS = 5


class DatabaseUrlError(ValueError):
    """The address cannot be used; the text completes "it must be …" and never quotes the address."""


def parse_database_url(url: str, base_dir: Path) -> dict[str, Any]:
    """`postgresql://USER:PASSWORD@HOST:PORT/NAME?sslmode=…` or `sqlite:///PATH`, percent-encoded.

    A Unix socket is given as `?host=/folder`. `sqlite:///name` is relative to `base_dir`,
    `sqlite:////name` absolute, `sqlite:///:memory:` in memory.

    Raises:
        DatabaseUrlError: with what it must be.
    """
    if re.search(r"[\x00-\x20\x7f]", url):
        raise DatabaseUrlError("an address without blanks and control characters (percent-encode them)")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise DatabaseUrlError(
            "a valid address; percent-encode ':', '/', '?', '#', '[', ']' and '@' in user and password"
        ) from None
    if parts.scheme in ("postgresql", "postgres"):
        return _postgresql(parts.username, parts.password, parts.hostname, port, parts.path, parts.query)
    if parts.scheme == "sqlite":
        return _sqlite(url, base_dir)
    raise DatabaseUrlError("an address that starts with postgresql:// or sqlite:///")


def _postgresql(
    user: str | None, password: str | None, host: str | None, port: int | None, path: str, query: str
) -> dict[str, Any]:
    name = unquote(path.removeprefix("/"))
    if not name or "/" in name:
        raise DatabaseUrlError("an address that ends in one database name, /NAME")
    try:
        options: dict[str, Any] = dict(parse_qsl(query, strict_parsing=True)) if query else {}
    except ValueError:
        raise DatabaseUrlError("an address whose parameters are NAME=VALUE, joined by '&'") from None
    host = options.pop("host", unquote(host or ""))
    if unknown := sorted(set(options) - POSTGRESQL_OPTIONS):
        known = ", ".join(sorted(POSTGRESQL_OPTIONS | {"host"}))
        raise DatabaseUrlError(f"an address without the parameter {unknown[0]!r} (known: {known})")
    if options.get("sslmode", "prefer") not in SSL_MODES:
        raise DatabaseUrlError(f"an address whose sslmode is one of {', '.join(SSL_MODES)}")
    try:
        timeout = int(options.pop("connect_timeout", CONNECT_TIMEOUT_SECONDS))
    except ValueError:
        raise DatabaseUrlError("an address whose connect_timeout is a whole number of seconds") from None
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": name,
        "USER": unquote(user or ""),
        "PASSWORD": unquote(password or ""),
        "HOST": host,
        "PORT": str(port or ""),
        "OPTIONS": {"connect_timeout": timeout, **options},
    }


def _sqlite(url: str, base_dir: Path) -> dict[str, Any]:
    rest = url.removeprefix("sqlite://")
    if not rest.startswith("/") or rest == "/" or "?" in rest or "#" in rest:
        raise DatabaseUrlError("sqlite:///FILE, relative to the project, or sqlite:////ABSOLUTE/FILE")
    name = unquote(rest[1:])
    return {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": name if name == ":memory:" else str(base_dir / name),
        # Writers queue at BEGIN instead of failing in the middle of a transaction.
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
