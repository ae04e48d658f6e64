"""What a machine lacks is skipped by name, with the command that installs it; nothing else ever is."""

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.e2e import engine


@dataclass(frozen=True)
class Need:
    """Something that tests marked `marker` need; `present` looks for it, once, when such a test is there."""

    marker: str
    what: str
    install: str
    present: Callable[[], bool]


@cache
def has_chromium() -> bool:
    return shutil.which("chromium") is not None


@cache
def has_firestore() -> bool:
    gcloud = shutil.which("gcloud")
    if not gcloud:
        return False
    sdk = Path(gcloud).resolve().parent.parent
    return (sdk / "platform" / "cloud-firestore-emulator").is_dir()


@cache
def has_pgbouncer() -> bool:
    return shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin") is not None


@cache
def has_postgresql_server() -> bool:
    return any(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@cache
def has_caddy() -> bool:
    return shutil.which("caddy") is not None


@cache
def has_pebble() -> bool:
    return has_caddy() and bool(shutil.which("pebble")) and bool(shutil.which("pebble-challtestsrv"))


DOCKER_INSTALL = "apt-get install docker.io docker-compose docker-registry iptables mmdebstrap"
NEEDS = (
    Need("needs_docker", "Debian's Docker Engine (and root, to run one)", DOCKER_INSTALL, engine.is_usable),
    Need("needs_chromium", "Debian's Chromium", "apt-get install chromium", has_chromium),
    Need("needs_caddy", "Caddy", "apt-get install caddy", has_caddy),
    Need("needs_pebble", "Pebble, an ACME server, and Caddy", "apt-get install caddy pebble", has_pebble),
    Need("needs_pgbouncer", "PgBouncer", "apt-get install pgbouncer", has_pgbouncer),
    Need("needs_postgresql", "Debian's PostgreSQL", "apt-get install postgresql", has_postgresql_server),
    Need(
        "needs_firestore",
        "Google's Firestore emulator",
        "gcloud components install cloud-firestore-emulator",
        has_firestore,
    ),
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for need in NEEDS:
        needy = [item for item in items if item.get_closest_marker(need.marker)]
        if needy and not need.present():
            skip = pytest.mark.skip(reason=f"{need.what} is missing: {need.install}")
            for item in needy:
                item.add_marker(skip)


class OneEngine(LoadScopeScheduling):
    """Test by test, as pytest-xdist does by itself, but tests/e2e in one process: one engine, one build.

    (Marking them with `xdist_group` does nothing under pytest 9 and pytest-xdist 3.8.)
    """

    def _split_scope(self, nodeid: str) -> str:
        return "tests/e2e" if nodeid.startswith("tests/e2e/") else nodeid


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling | None:
    return OneEngine(config, log) if config.getoption("dist") == "load" else None
