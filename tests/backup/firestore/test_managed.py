"""The managed export at the wire: the real client against a server of the discovery document."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from deploy.backup.companions import Folder
from deploy.backup.companions.firestore_managed import ManagedFirestoreKeeper
from deploy.backup.firestore.connection import Database
from deploy.backup.firestore.managed import administered, look, start_export, wait
from deploy.backup.manifest import Companion
from deploy.backup.naming import Identity, new_id
from deploy.buckets.local import LocalBucket
from deploy.conf_backup import FirestoreConf
from deploy.reporting.report import Step

from .admin_server import Admin, serving

IDENTITY = Identity("optifit", "production", "app")
DATABASE = Database("my-project", "(default)")


@pytest.fixture
def admin() -> Iterator[Admin]:
    with serving() as admin:
        yield admin


def keep(
    admin: Admin, tmp_path: Path, *, ago: timedelta = timedelta(minutes=2), wait_seconds: float = 60
) -> tuple[Companion, Step, Folder]:
    conf = FirestoreConf("my-project", "(default)", "gs://my-exports/firestore", False, "", admin.endpoint)
    created = datetime.now(UTC) - ago
    folder = Folder(LocalBucket(tmp_path), IDENTITY, new_id(created, "v1"), created, 1, lambda: None)
    step = Step("backup")
    return ManagedFirestoreKeeper(conf, wait_seconds=wait_seconds).keep(folder, step), step, folder


def ids(step: Step) -> list[str]:
    return [finding.id for finding in step.findings]


def test_exports_as_of_the_snapshots_minute_and_waits_for_it(admin: Admin, tmp_path: Path) -> None:
    companion, step, folder = keep(admin, tmp_path)

    minute = folder.created.replace(second=0, microsecond=0)
    assert step.findings == []
    assert companion.kind == "firestore-managed"
    assert companion.moment == minute
    assert companion.part is None
    uri = f"gs://my-exports/firestore/backups/optifit/production/app/{folder.backup_id}"
    assert companion.facts == {
        "database": DATABASE.path,
        "uri": uri,
        "operation": f"{DATABASE.path}/operations/export-0",
        "skew_seconds": round((minute - folder.created).total_seconds(), 3),
        "state": "done",
        "documents": 42,
        "bytes": 4200,
    }
    assert (step.done, step.total, step.unit) == (42, 42, "documents")
    [export] = admin.exports
    assert (export["database"], export["outputUriPrefix"]) == (DATABASE.path, uri)
    assert datetime.fromisoformat(export["snapshotTime"]) == minute


def test_a_snapshot_that_is_no_longer_kept_gives_way_to_the_last_minute(admin: Admin, tmp_path: Path) -> None:
    companion, step, _ = keep(admin, tmp_path, ago=timedelta(hours=2))
    assert companion.facts["state"] == "done"
    assert companion.facts["skew_seconds"] > 7000
    assert ids(step) == ["deploy.B084"]
    assert timedelta(0) <= datetime.now(UTC) - companion.moment < timedelta(minutes=3)


def test_a_clock_ahead_of_googles_does_not_ask_for_the_future(admin: Admin, tmp_path: Path) -> None:
    companion, _, _ = keep(admin, tmp_path, ago=timedelta(minutes=-5))
    assert companion.facts["state"] == "done"
    assert companion.moment <= datetime.now(UTC)


def test_does_not_wait_for_ever_and_can_be_asked_later(admin: Admin, tmp_path: Path) -> None:
    admin.looks = 1
    companion, step, _ = keep(admin, tmp_path, wait_seconds=0)
    assert ids(step) == ["deploy.B080"]
    assert companion.facts["state"] == "running"
    operation = companion.facts["operation"]
    assert operation in step.findings[0].hint

    with administered(DATABASE, admin.endpoint) as client:
        assert look(client, DATABASE, operation).state == "done"


def test_a_backup_that_has_failed_is_not_kept_waiting(admin: Admin, tmp_path: Path) -> None:
    admin.looks = 10**6
    with administered(DATABASE, admin.endpoint) as client:
        now = datetime.now(UTC)
        name, _ = start_export(client, DATABASE, "gs://my-exports/a", created=now, now=now)
        stopped = threading.Event()
        stopped.set()
        assert wait(client, DATABASE, name, seconds=10**6, stopped=stopped).state == "running"


@pytest.mark.parametrize(
    ("refusal", "finding", "hint"),
    [
        (
            (403, "PERMISSION_DENIED", "The caller does not have permission"),
            "deploy.B076",
            "importExportAdmin",
        ),
        ((404, "NOT_FOUND", "The database (default) does not exist"), "deploy.B077", "databases list"),
        ((400, "INVALID_ARGUMENT", "Bucket is in another region"), "deploy.B079", "databases describe"),
        ((503, "UNAVAILABLE", "Try later"), "deploy.B079", "databases describe"),
    ],
)
def test_what_google_refuses_is_a_finding_and_the_backup_goes_on(
    admin: Admin, tmp_path: Path, refusal: tuple[int, str, str], finding: str, hint: str
) -> None:
    admin.refuse = [refusal]
    companion, step, _ = keep(admin, tmp_path)
    assert ids(step) == [finding]
    assert not step.ok
    assert hint in step.findings[0].hint
    assert refusal[2] in step.findings[0].message
    assert companion.facts["state"] == "failed"
    assert refusal[2] in companion.facts["reason"]
    assert admin.exports == []


def test_an_export_that_fails_on_the_way_is_told(admin: Admin, tmp_path: Path) -> None:
    admin.error = "service agent may not write to my-exports."
    companion, step, _ = keep(admin, tmp_path)
    assert (companion.facts["state"], companion.facts["reason"]) == ("failed", admin.error.rstrip("."))
    assert ids(step) == ["deploy.B079"]


def test_nobody_to_ask_is_a_finding_too(tmp_path: Path) -> None:
    with serving() as gone:
        pass
    companion, step, _ = keep(gone, tmp_path)
    assert (ids(step), companion.facts["state"]) == (["deploy.B079"], "failed")
