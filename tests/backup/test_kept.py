"""What a restore has put aside: listed, swapped back, dropped."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from deploy import backup
from deploy.backup.kept import kept_name
from deploy.backup.manifest import Manifest
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step

from .conftest import ALIAS

Guard = Callable[[], None]
Query = Callable[..., list[Any]]
Names = Callable[[str], set[str]]


@pytest.fixture
def kept(conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, query: Query) -> str:
    """The name under which the live database was kept, with one animal more than the live one has now."""
    manifest: Manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    query("INSERT INTO animal VALUES ('late')")
    facts = backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))
    return str(facts["kept_as"])


def animals(query: Query, name: str | None = None) -> list[str]:
    return sorted(row[0] for row in query("SELECT name FROM ONLY animal", name))


def test_the_kept_database_is_the_live_one_again(
    conf: DeployConf, awkward: str, kept: str, no_guard: Guard, query: Query, databases: Names
) -> None:
    query("INSERT INTO animal VALUES ('after')")
    query(f"ALTER DATABASE {awkward} SET work_mem TO '7MB'")
    step = Step("swap back")
    plan = backup.plan_swap_back(conf, kept)

    with server.connect(ALIAS):  # somebody is connected: drained
        facts = backup.swap_back(conf, plan, guard=no_guard, step=step)

    old = facts["kept_as"]
    assert facts == {"database": awkward, "swapped_back": kept, "kept_as": old}
    assert plan.old == f"{awkward}_before_YYYYMMDDTHHMMSS"
    assert animals(query) == ["cat", "late"]
    assert animals(query, old) == ["after", "cat"]
    assert query("SHOW work_mem") == [("7MB",)]
    assert databases(awkward) == {awkward, old}
    assert [finding.id for finding in step.findings] == ["deploy.B017"]
    assert f"--swap-back {old} --yes-replace {awkward}" in step.findings[0].hint
    with pytest.raises(Refusal) as refused:  # the same again: it is done
        backup.plan_swap_back(conf, kept)
    assert refused.value.findings[0].id == "deploy.B048"
    assert old in refused.value.findings[0].message
    with pytest.raises(Refusal) as refused:
        backup.swap_back(conf, plan, guard=no_guard, step=Step("swap back"))
    assert refused.value.findings[0].id == "deploy.B048"
    assert animals(query) == ["cat", "late"]


def test_the_kept_ones_are_listed_and_no_other(
    conf: DeployConf, awkward: str, kept: str, query: Query
) -> None:
    query(f'CREATE DATABASE "{awkward}_before_lunch"')
    query(f'CREATE DATABASE "{awkward}_before_99999999T999999"')

    (found,) = backup.list_kept(conf)

    assert (found.name, found.size_bytes > 1_000_000) == (kept, True)
    assert f"{found.replaced:%Y%m%dT%H%M%S}" == kept.rpartition("_")[2]


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("{live}", "B016"),
        ("other", "B016"),
        ("postgres", "B014"),
        ("{live}_before_20200101T000000", "B048"),
    ],
)
def test_only_what_a_restore_put_aside_is_swapped_back(
    conf: DeployConf, live: str, name: str, found: str
) -> None:
    with pytest.raises(Refusal) as refused:
        backup.plan_swap_back(conf, name.format(live=live))

    assert refused.value.findings[0].id == f"deploy.{found}"


def test_a_name_that_is_taken_is_not_given_again(
    conf: DeployConf, live: str, query: Query, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.backup.engines import engine_of

    engine = engine_of(conf)
    first = kept_name(engine)
    taken = {first, kept_name(engine)}
    monkeypatch.setattr(type(engine), "exists", lambda _, name: name in taken)

    assert kept_name(engine) not in taken


def test_a_lost_guard_prevents_the_swap_back(
    conf: DeployConf, awkward: str, kept: str, query: Query, databases: Names
) -> None:
    def lost() -> None:
        raise Refusal(exit_code=75)

    before = databases(awkward)
    with pytest.raises(Refusal):
        backup.swap_back(conf, backup.plan_swap_back(conf, kept), guard=lost, step=Step("swap back"))

    assert (animals(query), databases(awkward)) == (["cat"], before)


def test_a_sqlite_file_is_swapped_back(
    sqlite_conf: DeployConf, bucket: LocalBucket, no_guard: Guard, tmp_path: Path
) -> None:
    conf, live = sqlite_conf, tmp_path / "data" / "db.sqlite3"

    def rows(path: Path = live) -> list[Any]:
        with closing(sqlite3.connect(path)) as connection:
            return connection.execute("SELECT a FROM t ORDER BY a").fetchall()

    manifest = backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=no_guard)
    with closing(sqlite3.connect(live)) as connection:
        connection.execute("INSERT INTO t VALUES (2)")
        connection.commit()
    backup.replace_database(conf, bucket, manifest, guard=no_guard, step=Step("restore"))
    (kept,) = backup.list_kept(conf)
    assert (rows(), rows(Path(kept.name))) == ([(1,)], [(1,), (2,)])

    plan = backup.plan_swap_back(conf, kept.name)
    old = backup.swap_back(conf, plan, guard=no_guard, step=Step("swap back"))["kept_as"]

    assert (rows(), rows(Path(old))) == ([(1,), (2,)], [(1,)])
    assert [left.name for left in backup.list_kept(conf)] == [old]
    link = live.with_name("db_before_20200101T000000.sqlite3")
    link.hardlink_to(live)  # as a swap that was killed between its two steps leaves it
    assert [left.name for left in backup.list_kept(conf)] == [old]
    with pytest.raises(Refusal):
        backup.plan_swap_back(conf, str(link))


def test_the_name_says_until_when_it_was_live(
    conf: DeployConf, awkward: str, kept: str, no_guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    from datetime import UTC, datetime

    from deploy.backup import kept as module

    plan = backup.plan_swap_back(conf, kept)
    clock = type("Clock", (datetime,), {"now": lambda _zone: datetime(2031, 5, 6, 7, 8, 9, tzinfo=UTC)})
    monkeypatch.setattr(module, "datetime", clock)  # the plan was made, and asked about, long before

    facts = backup.swap_back(conf, plan, guard=no_guard, step=Step("swap back"))

    assert facts["kept_as"] == f"{awkward}_before_20310506T070809"
