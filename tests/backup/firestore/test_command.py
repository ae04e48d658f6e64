"""`backupdb` with Firestore beside it, and `backups firestore`: from the command line's side."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyrage
import pytest
from django.core.management import call_command
from django.test import override_settings

from deploy.backup.firestore.connection import Database
from deploy.conf import DeployConf

from .admin_server import serving
from .conftest import Put
from .test_round_trip import contents

pytestmark = pytest.mark.needs_firestore

Command = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def command(conf: DeployConf, source: Database, emulator: str) -> Command:
    wanted = {
        "PROJECT": conf.project,
        "ENVIRONMENT": conf.environment,
        "DATABASE": conf.database,
        "BUCKET": conf.bucket,
        "STATIC_BUCKET": conf.static_bucket,
        "SCRATCH_PREFIX": conf.scratch_prefix,
    }

    def run(
        *arguments: str, keys: dict[str, Any] | None = None, **firestore: Any
    ) -> tuple[int, dict[str, Any]]:
        out, code = io.StringIO(), 0
        given = {"project": source.project, "endpoint": emulator, **firestore}
        with override_settings(DEPLOY={**wanted, "FIRESTORE": given, **(keys or {})}):
            try:
                call_command(*arguments, "--format", "json", stdout=out, stderr=io.StringIO())
            except SystemExit as end:
                code = int(end.code or 0)
        return code, json.loads(out.getvalue())

    return run


def ids(report: dict[str, Any]) -> list[str]:
    return [finding["id"] for step in report["steps"] for finding in step["findings"]]


def facts(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(step["facts"] for step in report["steps"] if step["name"] == name)


def test_from_backup_to_restore(
    command: Command, client: Any, source: Database, target: Database, put: Put
) -> None:
    documents = {f"users/{number}": {"n": {"integerValue": str(number)}} for number in range(20)}
    put(source, documents)
    with serving() as admin:
        admin.looks = 0
        google = {"managed_export": "gs://my-exports", "admin_endpoint": admin.endpoint}
        code, report = command("backupdb", **google)
        assert (code, ids(report)) == (0, [])

        code, report = command("backups", "firestore", "latest", **google)
    shown, managed = facts(report, "firestore"), facts(report, "firestore-managed")
    assert (code, shown["documents"], shown["skew_seconds"]) == (0, 20, 0)
    assert (managed["state"], managed["documents"]) == ("done", 42)

    code, report = command("backups", "firestore", "latest", "--restore-into", str(target), "--dry-run")
    assert (code, facts(report, "plan")["create"]) == (0, 20)
    assert contents(client, target) == {}

    code, report = command("backups", "firestore", "latest", "--restore-into", str(target))
    assert (code, ids(report)) == (0, [])
    assert facts(report, "restore")["created"] == 20
    assert contents(client, target) == documents


def test_an_encrypted_backup_keeps_its_documents_from_other_eyes(
    command: Command,
    client: Any,
    source: Database,
    target: Database,
    put: Put,
    conf: DeployConf,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    documents = {"users/1": {"name": {"stringValue": "an uncommon name"}}}
    put(source, documents)
    key = pyrage.x25519.Identity.generate()
    (tmp_path / "key").write_text(str(key))
    (tmp_path / "key").chmod(0o600)
    encrypted = {"BACKUP_AGE_RECIPIENTS": [str(key.to_public())]}
    assert command("backupdb", keys=encrypted)[0] == 0
    [stored] = Path(conf.bucket.removeprefix("file://")).rglob("firestore.jsonl.zst*")
    assert b"age-encryption.org" in stored.read_bytes()[:100]

    into = ("backups", "firestore", "latest", "--restore-into", str(target))
    assert command(*into, keys=encrypted)[0] == 2
    assert contents(client, target) == {}
    code, report = command(*into, keys={**encrypted, "BACKUP_AGE_IDENTITY": str(tmp_path / "key")})
    assert (code, ids(report)) == (0, [])
    assert contents(client, target) == documents


def test_a_managed_export_that_was_still_running_is_asked_about(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.backup.companions import firestore_managed

    def impatient(conf: Any) -> Any:
        return patient(conf, wait_seconds=0)

    patient = firestore_managed.ManagedFirestoreKeeper
    with serving() as admin:
        admin.looks = 1
        google = {"managed_export": "gs://my-exports", "admin_endpoint": admin.endpoint, "portable": False}
        with monkeypatch.context() as patch:
            patch.setattr(firestore_managed, "ManagedFirestoreKeeper", impatient)
            code, report = command("backupdb", **google)
        assert (code, ids(report)) == (0, ["deploy.B080"])
        code, report = command("backups", "firestore", "latest", **google)
        assert (code, facts(report, "firestore-managed")["state"]) == (0, "done")
        code, report = command(
            "backups", "firestore", "latest", "--restore-into", "my-project/copy", **google
        )
        assert (code, ids(report)) == (2, ["deploy.B081"])


def test_a_backup_whose_firestore_failed_is_there_and_says_no(command: Command) -> None:
    """Nobody listens at that port: the database's backup is kept all the same."""
    with serving() as gone:
        pass
    google = {"managed_export": "gs://my-exports", "admin_endpoint": gone.endpoint, "portable": False}
    code, report = command("backupdb", **google)
    assert (code, ids(report)) == (1, ["deploy.B079"])
    code, report = command("backups", "list")
    assert len(facts(report, "backups list")["backups"]) == 1
    code, report = command("backups", "firestore", "latest", **google)
    assert (code, ids(report)) == (1, ["deploy.B081"])
    assert facts(report, "firestore-managed")["state"] == "failed"


def test_a_backup_without_firestore_says_so(command: Command) -> None:
    assert command("backupdb", portable=False)[0] == 0
    code, report = command("backups", "firestore", "latest")
    assert (code, report["steps"][0]["skipped"] is not None) == (0, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--restore-into", "my-project"),
        ("--restore-into", "my-project/"),
        ("--restore-into", "my-project/a/b"),
        ("--restore-into", "my-project/restored\n"),
        ("--dry-run",),
        ("--keep-references",),
        ("--into-nonempty",),
    ],
)
def test_what_does_not_fit_is_one_finding(command: Command, arguments: tuple[str, ...]) -> None:
    code, report = command("backups", "firestore", "latest", *arguments)
    assert (code, ids(report)) == (2, ["deploy.R002"])
