"""A clone is reached as its source is, and never is the source itself."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.backup.cloudsql.addressing import UnreachableError, address_of, settings_for
from deploy.backup.cloudsql.clones import Cloned


def cloned(source: dict[str, str], clone: dict[str, str], certificate: str = "PEM") -> Cloned:
    def resource(addresses: dict[str, str]) -> dict[str, Any]:
        return {
            "ipAddresses": [{"type": kind, "ipAddress": address} for kind, address in addresses.items()],
            "serverCaCert": {"cert": certificate},
        }

    return Cloned("clone", resource(clone), resource(source), datetime.now(UTC), exact=True)


BOTH = {"PRIMARY": "34.1.1.1", "PRIVATE": "10.0.0.2", "OUTGOING": "35.1.1.1"}
CLONE = {"PRIMARY": "34.1.1.9", "PRIVATE": "10.0.0.9", "OUTGOING": "35.1.1.9"}


@pytest.mark.parametrize(
    ("host", "port", "expected"),
    [
        ("10.0.0.2", "", ("10.0.0.9", "5432")),
        ("34.1.1.1", "5433", ("34.1.1.9", "5433")),
        ("127.0.0.1", "6543", ("10.0.0.9", "5432")),  # a proxy's port says nothing of the clone's
        ("/cloudsql/shop-1:europe-west1:shop", "", ("10.0.0.9", "5432")),
        ("db.internal", "5432", ("10.0.0.9", "5432")),
        ("", "", ("10.0.0.9", "5432")),
    ],
)
def test_takes_the_address_of_the_same_kind(host: str, port: str, expected: tuple[str, str]) -> None:
    assert address_of({"HOST": host, "PORT": port}, cloned(BOTH, CLONE)) == expected


def test_takes_the_public_address_where_there_is_no_private_one() -> None:
    public = {"PRIMARY": "34.1.1.9"}
    assert address_of({"HOST": "db"}, cloned(BOTH, public)) == ("34.1.1.9", "5432")
    with pytest.raises(UnreachableError, match="no address of kind PRIVATE"):
        address_of({"HOST": "10.0.0.2"}, cloned(BOTH, public))
    with pytest.raises(UnreachableError, match="no address of kind PRIVATE or PRIMARY"):
        address_of({"HOST": "db"}, cloned(BOTH, {"OUTGOING": "35.1.1.9"}))


@pytest.mark.parametrize("host", ["10.0.0.2", "db", "10.0.0.9"])
def test_never_leads_to_the_live_database(host: str) -> None:
    same = {"PRIVATE": host if host[0].isdigit() else "10.0.0.2"}
    with pytest.raises(UnreachableError, match="the instance's own"):
        address_of({"HOST": host}, cloned(BOTH, same))


def test_checks_the_clone_by_its_own_certificate() -> None:
    entry = {"HOST": "10.0.0.2", "OPTIONS": {"sslmode": "verify-ca", "sslrootcert": "/etc/ours.pem"}}
    with settings_for(entry, cloned(BOTH, CLONE, "-----CLONE-----")) as changes:
        file = Path(changes["OPTIONS"]["sslrootcert"])
        assert file.read_text() == "-----CLONE-----"
        assert changes["OPTIONS"]["sslmode"] == "verify-ca"
        assert (changes["HOST"], changes["PORT"]) == ("10.0.0.9", "5432")
    assert not file.exists()
    assert entry["OPTIONS"]["sslrootcert"] == "/etc/ours.pem"
    with pytest.raises(UnreachableError, match="certificate"), settings_for(entry, cloned(BOTH, CLONE, "")):
        pass


@pytest.mark.parametrize("key", ["service", "host", "hostaddr", "port"])
def test_settings_that_name_the_server_elsewhere_are_not_guessed_at(key: str) -> None:
    entry = {"OPTIONS": {key: "live"}}
    with pytest.raises(UnreachableError, match=key), settings_for(entry, cloned(BOTH, CLONE)):
        pass
