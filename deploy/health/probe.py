"""`python -m deploy.health.probe URL`: a container's health check without curl, and without Django.

Exit code 0 when the URL answers 200, 1 when not, 2 when it can't be asked.
"""

from __future__ import annotations

import argparse
import http.client
import sys
from urllib.parse import urlsplit


def ask(url: str, *, timeout_seconds: float) -> str | None:
    """None when `url` (plain HTTP) answers 200, else why not.

    Raises:
        ValueError: it is no `http://` address.
    """
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError("the address must start with http:// and name a host")
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout_seconds)
    try:
        connection.request("GET", f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}")
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException) as error:
        return str(error) or type(error).__name__
    finally:
        connection.close()
    return None if status == http.client.OK else f"answered {status}"


def _seconds(text: str) -> float:
    """A finite time over 0: a socket takes neither nan nor infinity, and 0 means that it never waits."""
    value = float(text)
    if not 0 < value < float("inf"):
        raise ValueError(text)
    return value


def main(arguments: list[str] | None = None) -> int:
    """Parse, ask, say why not on standard error (container engines keep it with the health log)."""
    parser = argparse.ArgumentParser(prog="python -m deploy.health.probe", description=__doc__)
    parser.add_argument("url", help="for example http://127.0.0.1:8000/readyz")
    parser.add_argument(
        "--timeout", type=_seconds, default=4.0, metavar="SECONDS", help="default %(default)s"
    )
    options = parser.parse_args(arguments)
    try:
        reason = ask(options.url, timeout_seconds=options.timeout)
    except ValueError as error:
        parser.error(str(error))
    if reason:
        sys.stderr.write(f"{options.url}: {reason}\n")
    return 1 if reason else 0


if __name__ == "__main__":
    sys.exit(main())
