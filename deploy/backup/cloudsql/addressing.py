"""How a clone is reached: as its source is, at its own address, with its own server certificate."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .clones import Cloned

_POSTGRESQL = "5432"


class UnreachableError(Exception):
    """There is no way to it that the settings show; the text says why."""


def address_of(entry: Mapping[str, Any], cloned: Cloned) -> tuple[str, str]:
    """Host and port of the clone for the settings `entry` of its source.

    The kind of address is the source's, where HOST is one of those; where HOST is something else (a name, a
    proxy on this machine, a proxy's socket), the private address, else the public one, on PostgreSQL's port.

    Raises:
        UnreachableError
    """
    theirs, ours = _addresses(cloned.source), _addresses(cloned.resource)
    host = str(entry.get("HOST") or "")
    kind = next((kind for kind, address in theirs.items() if address == host), None)
    kinds = (kind,) if kind else ("PRIVATE", "PRIMARY")
    found = next((ours[kind] for kind in kinds if kind in ours), None)
    if found is None:
        raise UnreachableError(f"it has no address of kind {' or '.join(kinds)}")
    if found in theirs.values() or found == host:
        # Whatever the API says: a rehearsal on the live database must be impossible.
        raise UnreachableError(f"its address {found} is the instance's own")
    return found, str(entry.get("PORT") or _POSTGRESQL) if kind else _POSTGRESQL


@contextmanager
def settings_for(entry: Mapping[str, Any], cloned: Cloned) -> Iterator[dict[str, Any]]:
    """The settings of DATABASES that differ for the clone; a certificate's file lasts as long as the block.

    Raises:
        UnreachableError
    """
    host, port = address_of(entry, cloned)
    options = dict(entry.get("OPTIONS") or {})
    for key in ("service", "host", "hostaddr", "port"):
        if key in options:
            raise UnreachableError(f"OPTIONS[{key!r}] says where the database is, and a clone is elsewhere")
    with TemporaryDirectory(prefix="deploy-clone-") as folder:
        if options.get("sslrootcert"):
            certificate = (cloned.resource.get("serverCaCert") or {}).get("cert")
            if not certificate:
                raise UnreachableError("it shows no server certificate")
            file = Path(folder) / "server-ca.pem"
            file.write_text(certificate, encoding="ascii")
            options["sslrootcert"] = str(file)
        yield {"HOST": host, "PORT": port, "OPTIONS": options}


def _addresses(instance: Mapping[str, Any]) -> dict[str, str]:
    """Those that take connections, by kind."""
    found = {}
    for one in instance.get("ipAddresses") or []:
        if one.get("type") in ("PRIVATE", "PRIMARY"):
            found[one["type"]] = str(ipaddress.ip_address(one["ipAddress"]))
    return found
