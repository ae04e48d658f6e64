"""What a machine lacks is skipped by name, with the command that installs it; nothing else ever is."""

import os
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest


@dataclass(frozen=True)
class Need:
    """Something that tests marked `marker` need; `present` looks for it, once, when such a test is there."""

    marker: str
    what: str
    install: str
    present: Callable[[], bool]


@cache
def has_docker() -> bool:
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=10, check=False)  # noqa: S607 – from PATH
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


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


NEEDS = (
    Need("needs_docker", "a running Docker engine", "apt-get install docker.io docker-compose", has_docker),
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
