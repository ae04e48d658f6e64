"""Clones: made once, always deleted, and nothing but clones of ours is ever deleted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from deploy.backup.cloudsql.clones import LABEL, delete, delete_stale, is_ours, make, new_name
from deploy.backup.cloudsql.operations import Admin
from deploy.backup.naming import Identity
from deploy.reporting.findings import Refusal
from deploy.testing import Fault
from deploy.testing.gcs_faults import Request
from deploy.testing.sqladmin_server import SQLAdminServer

from .conftest import HASTY, INSTANCE, PROJECT


def is_clone(request: Request) -> bool:
    return request.path.endswith("/clone")


def is_delete(request: Request) -> bool:
    return request.method == "DELETE"


@pytest.fixture
def moment() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def name(identity: Identity, moment: datetime) -> str:
    return new_name(identity, moment)


def keep_log(server: SQLAdminServer) -> None:
    settings = server.instances.by_name[INSTANCE]["settings"]
    settings["backupConfiguration"]["pointInTimeRecoveryEnabled"] = True


def test_names_fit_cloud_sql_and_are_unlike(identity: Identity, moment: datetime) -> None:
    names = {new_name(identity, moment) for _ in range(50)}

    assert len(names) > 45
    assert all(is_ours(identity, name) for name in names)
    # At most 98 bytes with the project's id of up to 30 and a colon.
    assert all(len(name) <= 98 - 31 for name in names)
    assert all(name.replace("-", "").isalnum() and name.islower() for name in names)


def test_only_our_own_names_are_ours(identity: Identity, moment: datetime, name: str) -> None:
    assert is_ours(identity, name)
    for other in (
        replace(identity, environment="staging"),
        replace(identity, database="app_audit"),
        replace(identity, project="sho"),
    ):
        assert not is_ours(other, name)
        assert not is_ours(identity, new_name(other, moment))
    digit = "1" if name[-1] == "0" else "0"
    for near in (
        name[:-1] + digit,
        name + "0",
        name[:-9],
        "x" + name,
        f"deploy-drill-{identity.tag}-20260101000000-abcd",
        f"deploy-drill-{identity.tag}-20260101000000-abcd-00000000",
        "deploy-drill",
        "",
        INSTANCE,
    ):
        assert not is_ours(identity, near)


def test_clones_as_of_the_moment_where_the_log_is_kept(
    admin: Admin, identity: Identity, server: SQLAdminServer, name: str
) -> None:
    keep_log(server)
    moment = datetime.now(UTC) - timedelta(seconds=30)

    cloned = make(admin, identity, name, moment)

    assert (cloned.exact, cloned.moment) == (True, moment)
    assert cloned.resource["state"] == "RUNNABLE"
    asked = next(request for request in server.requests if is_clone(request))
    assert b'"pointInTime": "' in asked.body
    clone = server.instances.by_name[name]
    assert clone["settings"]["userLabels"] == {LABEL: identity.tag}
    assert clone["settings"]["finalBackupConfig"] == {"enabled": False}
    assert LABEL not in server.instances.by_name[INSTANCE]["settings"]["userLabels"]


def test_waits_for_the_logs_archive(
    admin: Admin, identity: Identity, server: SQLAdminServer, name: str, moment: datetime
) -> None:
    keep_log(server)
    server.instances.latest_recovery_time = "2020-01-01T00:00:00.000Z"
    assert not make(admin.within(HASTY), identity, name, moment).exact
    assert server.calls.count("projects.instances.getLatestRecoveryTime") > 1
    server.instances.latest_recovery_time = ""

    assert make(admin, identity, new_name(identity, moment), moment).exact


def test_clones_as_it_is_where_no_log_is_kept(
    admin: Admin, identity: Identity, name: str, moment: datetime
) -> None:
    cloned = make(admin, identity, name, moment - timedelta(hours=1))

    assert not cloned.exact
    assert cloned.moment >= moment


@pytest.mark.parametrize(
    "fault",
    [Fault(lose_response=True), Fault(reset=True), Fault(status=503), Fault(status=429)],
    ids=str,
)
@pytest.mark.parametrize("times", [1, 3])
def test_is_cloned_once_whatever_becomes_of_the_answer(
    admin: Admin,
    identity: Identity,
    server: SQLAdminServer,
    name: str,
    moment: datetime,
    fault: Fault,
    times: int,
) -> None:
    server.faults.add(fault, times=times, when=is_clone)

    assert make(admin, identity, name, moment).resource["state"] == "RUNNABLE"
    assert set(server.instances.by_name) == {INSTANCE, name}


def test_waits_for_a_backup_that_runs_on_the_instance(
    admin: Admin, identity: Identity, server: SQLAdminServer, name: str, moment: datetime
) -> None:
    admin.service.backupRuns().insert(project=PROJECT, instance=INSTANCE, body={}).execute()
    next(iter(server.instances.operations.values())).requests_left = 8

    assert make(admin, identity, name, moment).resource["state"] == "RUNNABLE"


def test_a_clone_that_fails_is_said_and_can_be_deleted(
    admin: Admin, identity: Identity, server: SQLAdminServer, name: str, moment: datetime
) -> None:
    server.instances.fail_next = "There is no capacity in europe-west1."

    with pytest.raises(Refusal) as refused:
        make(admin, identity, name, moment)

    (finding,) = refused.value.findings
    assert finding.id == "deploy.B088"
    assert "There is no capacity in europe-west1" in finding.message
    assert delete(admin, identity, name)


def test_a_clone_that_takes_too_long_is_given_up(
    admin: Admin, identity: Identity, server: SQLAdminServer, name: str, moment: datetime
) -> None:
    server.instances.stopped = True

    with pytest.raises(Refusal) as refused:
        make(admin.within(HASTY), identity, name, moment)
    assert "is not ready after" in refused.value.findings[0].message

    assert not delete(admin.within(HASTY), identity, name)  # Cloud SQL still makes it
    (finding,) = admin.step.findings
    assert (finding.id, finding.level) == ("deploy.B091", "warning")
    assert f"gcloud sql instances delete {name} --project=shop-1" in finding.hint
    server.instances.stopped = False
    assert delete_stale(admin, identity) == [name]


def test_is_deleted_though_the_source_is_protected(
    admin: Admin, identity: Identity, server: SQLAdminServer, name: str, moment: datetime
) -> None:
    server.instances.by_name[INSTANCE]["settings"]["deletionProtectionEnabled"] = True
    make(admin, identity, name, moment)
    assert server.instances.by_name[INSTANCE]["settings"]["deletionProtectionEnabled"]
    # Killed before it was labelled, it is protected still.
    server.instances.by_name[name]["settings"]["deletionProtectionEnabled"] = True

    assert delete(admin, identity, name)

    assert admin.find(name, "read") is None or server.instances.by_name[name]["state"] == "PENDING_DELETE"
    assert next(request for request in server.requests if is_delete(request)).query == {
        "enableFinalBackup": "false",
        "alt": "json",
    }


@pytest.mark.parametrize("fault", [Fault(lose_response=True), Fault(reset=True), Fault(status=503)], ids=str)
def test_is_deleted_whatever_becomes_of_the_answer(
    admin: Admin, identity: Identity, server: SQLAdminServer, name: str, moment: datetime, fault: Fault
) -> None:
    make(admin, identity, name, moment)
    server.faults.add(fault, times=3, when=is_delete)

    assert delete(admin, identity, name)
    assert delete(admin, identity, name) in (True, False)  # twice does no harm
    while admin.find(name, "read"):
        pass
    assert not delete(admin, identity, name)
    assert set(server.instances.by_name) == {INSTANCE}
    assert admin.step.findings == []


def test_deletes_nothing_but_its_own_clones(
    admin: Admin, identity: Identity, server: SQLAdminServer, moment: datetime
) -> None:
    ours = [new_name(identity, moment) for _ in range(3)]
    others = [
        new_name(replace(identity, environment="staging"), moment),
        f"deploy-drill-{identity.tag}-20260101000000-abcd-00000000",
        "deploy-drill-by-hand",
        *(f"other-{number}" for number in range(30)),  # more than a page
    ]
    for one in (*others, *ours):
        server.add_instance(PROJECT, one)

    assert sorted(delete_stale(admin, identity)) == sorted(ours)
    for one in (INSTANCE, *others):
        with pytest.raises(ValueError, match="is not a clone of"):
            delete(admin, identity, one)
    assert delete_stale(admin, identity) == []
    assert set(server.instances.by_name) == {INSTANCE, *others}


def test_says_which_role_cloning_needs(
    admin: Admin, identity: Identity, server: SQLAdminServer, name: str, moment: datetime
) -> None:
    server.forbid("instances.clone")

    with pytest.raises(Refusal) as refused:
        make(admin, identity, name, moment)

    assert refused.value.findings[0].id == "deploy.B086"
    assert "--role=roles/cloudsql.admin" in refused.value.findings[0].hint
