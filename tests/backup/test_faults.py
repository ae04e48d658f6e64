"""Every call of the bucket fails in every way, under every command: exact ends, nothing half visible."""

from __future__ import annotations

import copy
import io
import json
import secrets
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from django.core.management import call_command
from django.db import connections
from django.test import override_settings

from deploy import backup
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.releases.lock import lock_name
from deploy.reporting.report import Step
from deploy.testing import BucketFault, FaultyBucket
from deploy.testing.bucket_faults import KINDS
from deploy.testing.faulty_bucket import Call

from .conftest import ALIAS, configuration_of

ROWS = 3000


class World:
    """A live SQLite database, its bucket, and commands that see the bucket through faults."""

    def __init__(self, conf: DeployConf, live: Path) -> None:
        self.conf, self.live = conf, live
        self.folder = Path(conf.bucket.removeprefix("file://"))
        self.bucket = LocalBucket(self.folder)

    def run(self, *arguments: str, fault: BucketFault | None = None) -> tuple[int, list[str], FaultyBucket]:
        """The exit code, the ids of the findings, and what was asked of the bucket."""
        wanted = {
            "PROJECT": self.conf.project,
            "ENVIRONMENT": self.conf.environment,
            "DATABASE": self.conf.database,
            "BUCKET": self.conf.bucket,
            "STATIC_BUCKET": self.conf.static_bucket,
            "SCRATCH_PREFIX": self.conf.scratch_prefix,
        }
        out, errors, code = io.StringIO(), io.StringIO(), 0
        faulty = FaultyBucket(self.bucket, *([fault] if fault else []))
        with override_settings(DEPLOY=wanted), faulty.instead_of(self.conf.bucket):
            try:
                call_command(*arguments, "--format", "json", stdout=out, stderr=errors)
            except SystemExit as end:
                code = int(end.code or 0)
        report = json.loads(out.getvalue())
        assert errors.getvalue() == ""
        ids = [finding["id"] for step in report["steps"] for finding in step["findings"]]
        assert "deploy.R001" not in ids, report
        return code, ids, faulty

    def others(self) -> set[str]:
        """Files beside the live database."""
        return {path.name for path in self.live.parent.iterdir()} - {self.live.name}

    def manifests(self) -> list[backup.Manifest]:
        """Every backup; each of them is whole."""
        found = backup.scan(self.conf, self.bucket)
        assert found.unreadable == []
        for manifest in found.manifests:
            backup.verify(self.bucket, manifest, step=Step("verify"))
        return found.manifests

    def rows(self) -> int:
        with closing(sqlite3.connect(self.live)) as connection:
            return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])

    def keep(self) -> None:
        """What `back` brings back: the bucket as it is, its generations included."""
        shutil.copytree(self.folder, self.folder.with_name("kept"))

    def back(self) -> None:
        """The kept bucket, and nothing beside the live file."""
        for name in self.others():
            self.live.with_name(name).unlink()
        shutil.rmtree(self.folder)
        shutil.copytree(self.folder.with_name("kept"), self.folder)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    live = tmp_path / "data" / "db.sqlite3"
    live.parent.mkdir()
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("CREATE TABLE t (a, b)")
        connection.executemany(
            "INSERT INTO t VALUES (?, ?)", [(n, secrets.token_hex(40)) for n in range(ROWS)]
        )
        connection.commit()
    entry = copy.deepcopy(connections.settings["default"])
    connections.settings[ALIAS] = {
        **entry,
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": str(live),
        "OPTIONS": {},
    }
    conf = configuration_of(tmp_path, f"project-{secrets.token_hex(4)}")
    yield World(replace(conf, backup=replace(conf.backup, keep=1)), live)
    connections[ALIAS].close()
    del connections[ALIAS]
    del connections.settings[ALIAS]


RULES = ("days", "daily", "weekly", "monthly")
COMMANDS = {
    "backupdb": ["backupdb"],
    "list": ["backups", "list"],
    "verify": ["backups", "verify", "latest"],
    "restore into": ["restoredb", "latest", "--into", "look.sqlite3"],
    "restore replacing": ["restoredb", "latest", "--yes-replace", "db.sqlite3"],
    "prune": ["backups", "prune", "--keep=1", *(f"--keep-{rule}=0" for rule in RULES)],
}
UNANSWERED = ("error", "timeout", "partial")


def expected(command: str, fault: BucketFault, call: Call, newest: str) -> tuple[int, list[str]]:
    """The exit code, and the ids of findings that the fault makes."""
    lock, ledger = call.name.startswith("lock/"), call.name.startswith("ledger/")
    unanswered = (2, ["deploy.L011" if lock or ledger else "deploy.R005"])
    match call.method, fault.kind:
        case ("stat", "missing") if call.name.endswith("/manifest.json") or lock:
            return 0, []  # free, as it was
        case ("stat", "missing") if fault.nth > 2:  # the second look at both files, before the manifest
            return 1, ["deploy.B114"]
        case ("stat", "missing"):
            return 1, ["deploy.B021"]  # what was written is not there
        case ("stat", kind) if kind in UNANSWERED and not lock:
            return 0, []  # asked once more
        case ("put", kind) if command == "verify" and kind in UNANSWERED:
            return 0, ["deploy.B050"]  # verified, and only the record of it is missing
        case ("delete", kind) if lock:
            return 0, []  # it expires by itself
        case ("delete", "lost"):
            return unanswered
        case ("read", "missing"):
            return 0, []  # pruned since the listing
        case ("read", "corrupt" | "flip") if command in ("list", "prune"):
            return 0, ["deploy.B022"]
        case ("read", "corrupt" | "flip"):
            return (2, ["deploy.B022", "deploy.B095"]) if newest in call.name else (0, [])
        case ("open_read", "missing" | "corrupt" | "flip"):
            return 1, ["deploy.B004"]
        case (_, kind) if kind in UNANSWERED:
            return unanswered
        case _:
            return 0, []  # slow; done, and found to be done


def faults_of(faulty: FaultyBucket) -> Iterator[BucketFault]:
    """Each kind at each of the calls that were made."""
    for method, calls in Counter(call.method for call in faulty.calls).items():
        for nth in range(1, calls + 1):
            for kind in KINDS[method]:
                yield BucketFault(kind, method, nth=nth, after=0 if method == "list" else 5000, seconds=0.001)


@pytest.mark.parametrize("command", COMMANDS)
def test_each_call_of_a_command_fails_in_each_way(world: World, command: str) -> None:
    for _ in range(2):
        assert world.run("backupdb")[0] == 0
    older, newest = sorted(manifest.id for manifest in world.manifests())
    world.keep()
    code, usual, seen = world.run(*COMMANDS[command])
    assert code == 0
    tried = 0
    for fault in faults_of(seen):
        world.back()
        code, ids, faulty = world.run(*COMMANDS[command], fault=fault)
        (call,) = faulty.met
        wanted, findings = expected(command, fault, call, newest)
        told = f"{fault.kind} of {call.method} {call.name}"
        assert (code, ids) == (wanted, findings + (usual if wanted == 0 else [])), told

        whole = {manifest.id for manifest in world.manifests()}
        assert newest in whole, told
        assert (older in whole) or command == "prune", told
        assert len(whole) <= 2 or (command == "backupdb" and code == 0), told
        assert world.rows() == ROWS, told
        beside = {"look.sqlite3"} if command == "restore into" and code == 0 else set()
        if command == "restore replacing" and code == 0:
            assert len(world.others()) == 1, told  # the one before
        else:
            assert world.others() == beside, told

        for name in world.others():
            world.live.with_name(name).unlink()
        if world.bucket.stat(lock_name(world.conf)):  # it could not be given back, so it has to expire
            assert call.method == "delete", told
            assert world.run("restoredb", "latest", "--yes-replace", "db.sqlite3")[0] == 75
            world.bucket.delete(lock_name(world.conf))
        assert world.run(*COMMANDS[command])[0] == 0, told
        tried += 1
    assert tried >= 10


POSTGRESQL = [
    *(BucketFault(kind, "open_write", after=5000) for kind in ("error", "timeout", "partial", "lost")),
    *(
        BucketFault(kind, "open_read", after=5000)
        for kind in ("error", "partial", "corrupt", "flip", "missing")
    ),
]


@pytest.mark.parametrize("fault", POSTGRESQL, ids=lambda fault: f"{fault.method}-{fault.kind}")
def test_no_client_program_and_no_database_is_left_by_a_stream_that_fails(
    conf: DeployConf, awkward: str, databases: Callable[[str], set[str]], fault: BucketFault
) -> None:
    world = World(conf, Path("/none"))
    before = psutil.Process().children(recursive=True)
    commands = [["backupdb"]]
    if fault.method == "open_read":
        assert world.run("backupdb")[0] == 0
        commands = [
            ["backups", "verify", "latest"],
            ["restoredb", "latest", "--into", f"{awkward}_look"],
            ["restoredb", "latest", "--yes-replace", awkward],
        ]
    for command in commands:
        code, ids, faulty = world.run(*command, fault=fault)
        assert (code, ids) == expected(command[0], fault, faulty.met[0], ""), command
        assert psutil.Process().children(recursive=True) == before
        assert databases(awkward) == {awkward}
        assert databases(conf.scratch_prefix) == set()
        assert len(world.manifests()) == (code == 0 or fault.method == "open_read")
    for command in commands:
        assert world.run(*command)[0] == 0
