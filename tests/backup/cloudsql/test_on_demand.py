"""Cloud SQL's own backup beside ours: taken once, found again, recorded whatever becomes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from deploy import backup
from deploy.backup.cloudsql.on_demand import description_of, take, taken_for
from deploy.backup.cloudsql.operations import Admin, Pace
from deploy.backup.companions import Abandoned, Folder
from deploy.backup.companions.cloudsql import CloudSQLKeeper
from deploy.backup.naming import MANIFEST, Identity, new_id
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.conf_backup import CloudSQLConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step
from deploy.testing import Fault
from deploy.testing.gcs_faults import Request
from deploy.testing.sqladmin_instances import now
from deploy.testing.sqladmin_server import SQLAdminServer

from .conftest import HASTY, INSTANCE, PROJECT, QUICK

NONE_EXIST: Callable[[str], bool] = lambda _: False  # noqa: E731


def is_insert(request: Request) -> bool:
    return request.method == "POST" and request.path.endswith("/backupRuns")


@pytest.fixture
def created() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def folder(bucket: LocalBucket, identity: Identity, created: datetime) -> Folder:
    return Folder(bucket, identity, new_id(created, "v1"), created, level=1, guard=lambda: None)


def earlier(server: SQLAdminServer, description: str, **changes: Any) -> dict[str, Any]:
    """A run that is there before ours."""
    run = {
        "kind": "sql#backupRun",
        "id": str(1000 + len(server.instances.runs)),
        "instance": INSTANCE,
        "description": description,
        "type": "ON_DEMAND",
        "status": "SUCCESSFUL",
        "enqueuedTime": now(),
        "startTime": now(),
        "endTime": now(),
        **changes,
    }
    server.instances.runs.append(run)
    return run


def test_backupdb_has_the_instance_backed_up_too(
    with_cloud_sql: Callable[..., DeployConf],
    bucket: LocalBucket,
    awkward: str,
    server: SQLAdminServer,
    no_guard: Callable[[], None],
) -> None:
    conf, step = with_cloud_sql(), Step("backup")
    manifest = backup.create_backup(conf, bucket, release="v1", step=step, guard=no_guard)

    assert [finding for finding in step.findings if finding.level != "info"] == []
    (companion,) = [one for one in manifest.companions if one.kind == "cloudsql"]
    (run,) = server.instances.runs
    assert run["description"] == f"{manifest.identity.prefix}{manifest.id}"
    (operation,) = server.instances.operations
    assert companion.facts == {
        "project": PROJECT,
        "instance": INSTANCE,
        "state": "stored",
        "backup": run["id"],
        "operation": operation,
        "description": run["description"],
        "taken_for": manifest.id,
        "location": "eu",
        "ended": datetime.fromisoformat(run["endTime"]).isoformat(),
        "charged_bytes": 10 * 1024**2,
        "skew_seconds": companion.facts["skew_seconds"],
    }
    assert companion.moment == datetime.fromisoformat(run["startTime"])
    assert 0 <= companion.facts["skew_seconds"] < 60
    assert backup.read_manifest(conf, bucket, manifest.id).companions == manifest.companions


def test_none_is_taken_when_it_is_not_asked_for(
    with_cloud_sql: Callable[..., DeployConf],
    bucket: LocalBucket,
    live: str,
    server: SQLAdminServer,
    no_guard: Callable[[], None],
) -> None:
    conf = with_cloud_sql(on_demand=False)
    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)

    assert "cloudsql" not in {companion.kind for companion in manifest.companions}
    assert server.requests == []


@pytest.mark.parametrize(
    "fault",
    [
        Fault(lose_response=True),
        Fault(reset=True),
        Fault(status=503),
        Fault(status=500),
        Fault(status=429),
        Fault(latency_seconds=0.3),
        Fault(truncate_at_bytes=5),
    ],
    ids=str,
)
@pytest.mark.parametrize("times", [1, 3])
def test_is_begun_once_whatever_becomes_of_the_answer(
    admin: Admin, identity: Identity, server: SQLAdminServer, created: datetime, fault: Fault, times: int
) -> None:
    server.faults.add(fault, times=times, when=is_insert)
    backup_id = new_id(created, "v1")

    taken = take(admin, identity, backup_id, created, exists=NONE_EXIST)

    assert taken.run.is_whole
    assert [run["description"] for run in server.instances.runs] == [description_of(identity, backup_id)]
    assert taken.taken_for == backup_id


@pytest.mark.parametrize("fault", [Fault(status=503), Fault(status=429), Fault(reset=True)], ids=str)
def test_looking_is_repeated(
    admin: Admin, identity: Identity, server: SQLAdminServer, created: datetime, fault: Fault
) -> None:
    server.faults.add(fault, times=2, when=lambda request: request.method == "GET")

    assert take(admin, identity, new_id(created, "v1"), created, exists=NONE_EXIST).run.is_whole


def test_waits_until_the_instance_is_free(
    admin: Admin, identity: Identity, server: SQLAdminServer, created: datetime
) -> None:
    admin.service.backupRuns().insert(
        project=PROJECT, instance=INSTANCE, body={"description": "by hand"}
    ).execute()
    next(iter(server.instances.operations.values())).requests_left = 12

    taken = take(admin, identity, new_id(created, "v1"), created, exists=NONE_EXIST)

    assert taken.run.is_whole
    assert len(server.instances.runs) == 2
    assert server.calls.count("backupRuns.insert") > 2


def test_gives_up_when_the_instance_stays_busy(
    cloud_sql: CloudSQLConf, folder: Folder, server: SQLAdminServer, admin: Admin, step: Step
) -> None:
    server.instances.stopped = True
    where = {"project": PROJECT, "instance": INSTANCE}
    admin.service.backupRuns().insert(**where, body={"description": "by hand"}).execute()

    companion = CloudSQLKeeper(cloud_sql, HASTY).keep(folder, step)

    assert companion.facts["state"] == "failed"
    assert [(one.id, one.level) for one in step.findings] == [("deploy.B090", "error")]
    assert "status!=DONE" in step.findings[0].hint


@pytest.mark.parametrize("status", ["RUNNING", "ENQUEUED", "SUCCESSFUL"])
def test_goes_on_with_what_a_killed_run_began(
    cloud_sql: CloudSQLConf, folder: Folder, server: SQLAdminServer, step: Step, status: str
) -> None:
    killed = new_id(folder.created - timedelta(seconds=90), "v1")
    began = f"{folder.created - timedelta(seconds=80):%Y-%m-%dT%H:%M:%S}.000Z"
    run = earlier(server, description_of(folder.identity, killed), status=status, startTime=began)
    if status != "SUCCESSFUL":
        del run["endTime"]
        server.faults.add(Fault(latency_seconds=0.2))  # while it runs
        hasty = CloudSQLKeeper(cloud_sql, HASTY).keep(folder, step)
        assert (hasty.facts["state"], hasty.facts["backup"]) == ("running", run["id"])
        run["status"] = "SUCCESSFUL"

    told = Step("backup")
    companion = CloudSQLKeeper(cloud_sql, QUICK).keep(folder, told)

    assert [(one.id, one.level) for one in told.findings] == [("deploy.B118", "info")]
    assert killed in told.findings[0].message
    assert server.calls.count("backupRuns.insert") == 0
    assert companion.facts["taken_for"] == killed != folder.backup_id
    assert companion.facts["state"] == "stored"
    assert -91 < companion.facts["skew_seconds"] < -79


def other_runs(folder: Folder) -> dict[str, tuple[str, dict[str, Any]]]:
    killed, ours = new_id(folder.created, "v1"), folder.identity
    old = f"{folder.created - timedelta(seconds=700):%Y-%m-%dT%H:%M:%S}.000Z"
    return {
        "staging's": (description_of(replace(ours, environment="staging"), killed), {}),
        "a longer name": (description_of(replace(ours, database="app_audit"), killed), {}),
        "a shorter name": (description_of(replace(ours, database="ap"), killed), {}),
        "somebody's": (f"before {description_of(ours, killed)}", {}),
        "no id": (description_of(ours, "today"), {}),
        "automated": ("", {"type": "AUTOMATED"}),
        "failed": (description_of(ours, killed), {"status": "FAILED"}),
        "deleted": (description_of(ours, killed), {"status": "DELETED"}),
        "too old": (description_of(ours, killed), {"startTime": old, "enqueuedTime": old}),
    }


@pytest.mark.parametrize(
    "which",
    [
        "staging's",
        "a longer name",
        "a shorter name",
        "somebody's",
        "no id",
        "automated",
        "failed",
        "deleted",
        "too old",
    ],
)
def test_does_not_take_another_run_for_its_own(
    cloud_sql: CloudSQLConf, folder: Folder, server: SQLAdminServer, step: Step, which: str
) -> None:
    description, changes = other_runs(folder)[which]
    run = earlier(server, description, **changes)

    companion = CloudSQLKeeper(cloud_sql, QUICK).keep(folder, step)

    assert companion.facts["state"] == "stored"
    assert companion.facts["backup"] != run["id"]
    assert companion.facts["taken_for"] == folder.backup_id


def test_leaves_the_run_of_a_backup_that_exists_to_that_backup(
    cloud_sql: CloudSQLConf, folder: Folder, server: SQLAdminServer, step: Step, bucket: LocalBucket
) -> None:
    other = new_id(folder.created - timedelta(seconds=30), "v1")
    run = earlier(server, description_of(folder.identity, other))
    bucket.put(folder.identity.object_name(other, MANIFEST), b"{}")

    assert CloudSQLKeeper(cloud_sql, QUICK).keep(folder, step).facts["backup"] != run["id"]


def test_finds_its_run_behind_many_others(
    admin: Admin, identity: Identity, server: SQLAdminServer, created: datetime
) -> None:
    backup_id = new_id(created, "v1")
    earlier(server, description_of(identity, backup_id))
    for _ in range(70):
        earlier(server, "automated", type="AUTOMATED")

    assert take(admin, identity, backup_id, created, exists=NONE_EXIST).operation == ""
    assert server.calls.count("backupRuns.list") == 4


def test_what_still_runs_is_recorded_as_such(
    cloud_sql: CloudSQLConf, folder: Folder, server: SQLAdminServer, step: Step
) -> None:
    server.instances.stopped = True

    companion = CloudSQLKeeper(cloud_sql, HASTY).keep(folder, step)

    (run,) = server.instances.runs
    assert (companion.facts["state"], companion.facts["backup"]) == ("running", run["id"])
    assert companion.facts["operation"] in server.instances.operations
    assert companion.facts["ended"] is None
    assert [(one.id, one.level) for one in step.findings] == [("deploy.B089", "warning")]
    assert f"gcloud sql backups describe {run['id']} --instance={INSTANCE}" in step.findings[0].hint


def test_a_backup_that_fails_is_said_with_googles_reason(
    cloud_sql: CloudSQLConf, folder: Folder, server: SQLAdminServer, step: Step
) -> None:
    server.instances.fail_next = "The disk is full."

    companion = CloudSQLKeeper(cloud_sql, QUICK).keep(folder, step)

    assert companion.facts["state"] == "failed"
    assert step.findings[0].id == "deploy.B088"
    assert "The disk is full" in step.findings[0].message
    assert "gcloud sql operations list --instance=shop --project=shop-1" in step.findings[0].hint


def test_the_database_is_backed_up_where_cloud_sql_refuses(
    with_cloud_sql: Callable[..., DeployConf],
    bucket: LocalBucket,
    live: str,
    server: SQLAdminServer,
    no_guard: Callable[[], None],
) -> None:
    server.forbid("backupRuns.insert")
    conf, step = with_cloud_sql(), Step("backup")

    manifest = backup.create_backup(conf, bucket, release="v1", step=step, guard=no_guard)

    assert not step.ok
    (finding,) = [one for one in step.findings if one.level == "error"]
    assert finding.id == "deploy.B086"
    assert "--role=roles/cloudsql.editor" in finding.hint
    assert backup.read_manifest(conf, bucket, manifest.id) == manifest


def test_an_instance_that_is_not_there(
    cloud_sql: CloudSQLConf, folder: Folder, server: SQLAdminServer, step: Step
) -> None:
    CloudSQLKeeper(replace(cloud_sql, instance="shup"), QUICK).keep(folder, step)

    (finding,) = step.findings
    assert finding.id == "deploy.B087"
    assert "gcloud sql instances list --project=shop-1" in finding.hint


def test_a_lost_lock_is_not_taken_for_cloud_sqls_refusal(
    cloud_sql: CloudSQLConf, folder: Folder, server: SQLAdminServer, step: Step
) -> None:
    def lost() -> None:
        raise Refusal(exit_code=75)

    with pytest.raises(Refusal) as refused:
        CloudSQLKeeper(cloud_sql, QUICK).keep(replace(folder, guard=lost), step)

    assert refused.value.exit_code == 75
    assert server.requests == []


def test_waits_no_longer_when_the_backup_has_failed(
    cloud_sql: CloudSQLConf, folder: Folder, server: SQLAdminServer, step: Step
) -> None:
    server.instances.stopped = True
    folder.stopped.set()

    with pytest.raises(Abandoned):
        CloudSQLKeeper(cloud_sql, Pace(poll_seconds=60, wait_seconds=600)).keep(folder, step)


def test_a_run_is_ours_only_to_the_letter(identity: Identity) -> None:
    from deploy.backup.cloudsql.on_demand import Run

    backup_id = new_id(datetime.now(UTC), "v1")
    run = Run.of({"id": 1, "description": f"{identity.prefix}{backup_id}"})
    assert taken_for(identity, run) == backup_id
    for description in (backup_id, f"{identity.prefix}{backup_id}/", f"{identity.prefix}x/{backup_id}", ""):
        assert taken_for(identity, replace(run, description=description)) == ""
