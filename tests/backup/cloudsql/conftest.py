from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from deploy.backup.cloudsql.connection import ADMIN, Instance, connected
from deploy.backup.cloudsql.operations import Admin, Pace
from deploy.backup.engines import identity_of
from deploy.backup.naming import Identity
from deploy.conf import DeployConf
from deploy.conf_backup import CloudSQLConf
from deploy.reporting.report import Step
from deploy.testing.sqladmin_server import SQLAdminServer

from ..conftest import awkward, bucket, conf, databases, live, no_guard, query  # noqa: F401 – fixtures

PROJECT, INSTANCE = "shop-1", "shop"
QUICK = Pace(poll_seconds=0.01, wait_seconds=20)
HASTY = Pace(poll_seconds=0.01, wait_seconds=0.05)


@pytest.fixture
def server() -> Iterator[SQLAdminServer]:
    with SQLAdminServer() as server:
        server.add_instance(PROJECT, INSTANCE)
        yield server
    assert server.broken == []


@pytest.fixture
def cloud_sql(server: SQLAdminServer) -> CloudSQLConf:
    return CloudSQLConf(PROJECT, INSTANCE, on_demand=True, clone_over_bytes=0, endpoint=server.url)


@pytest.fixture
def step() -> Step:
    return Step("backup")


@pytest.fixture
def admin(cloud_sql: CloudSQLConf, step: Step) -> Iterator[Admin]:
    with connected(cloud_sql) as service:
        yield Admin(service, Instance(PROJECT, INSTANCE), ADMIN, QUICK, step)


@pytest.fixture
def identity() -> Identity:
    return Identity("shop", "production", "app")


@pytest.fixture
def with_cloud_sql(conf: DeployConf, cloud_sql: CloudSQLConf) -> Callable[..., DeployConf]:  # noqa: F811
    """The configuration with Cloud SQL in it, changed."""

    def changed(**changes: object) -> DeployConf:
        return replace(conf, backup=replace(conf.backup, cloud_sql=replace(cloud_sql, **changes)))

    return changed


def whose(conf: DeployConf) -> Identity:  # noqa: F811
    return identity_of(conf)
