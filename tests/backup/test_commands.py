"""`backupdb`, `backups` and `restoredb` from the command line's side."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.test import override_settings

from deploy import backup
from deploy.backup.proofs import grade_of
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases import postgresql as server
from deploy.management.backups.listing import _short

from .conftest import ALIAS

Query = Callable[..., list[Any]]
Names = Callable[[str], set[str]]


@pytest.fixture
def command(conf: DeployConf) -> Callable[..., tuple[int, dict[str, Any]]]:
    """Run a command; returns its exit code and its JSON report."""
    wanted = {
        "PROJECT": conf.project,
        "ENVIRONMENT": conf.environment,
        "DATABASE": conf.database,
        "BUCKET": conf.bucket,
        "STATIC_BUCKET": conf.static_bucket,
        "SCRATCH_PREFIX": conf.scratch_prefix,
    }

    def run(*arguments: str, errors: io.StringIO | None = None) -> tuple[int, dict[str, Any]]:
        out, code = io.StringIO(), 0
        with override_settings(DEPLOY=wanted):
            try:
                call_command(
                    *arguments,
                    "--format",
                    "json",
                    stdout=out,
                    stderr=io.StringIO() if errors is None else errors,
                )
            except SystemExit as end:
                code = int(end.code or 0)
        return code, json.loads(out.getvalue())

    return run


def ids(report: dict[str, Any]) -> list[str]:
    return [finding["id"] for step in report["steps"] for finding in step["findings"]]


def step_of(report: dict[str, Any], name: str) -> dict[str, Any]:
    return next(step for step in report["steps"] if step["name"] == name)


@pytest.mark.parametrize("jobs", ["0", "33", "two"])
def test_backupdb_refuses_a_number_of_jobs_that_makes_no_sense(
    command: Callable[..., tuple[int, dict[str, Any]]], jobs: str
) -> None:
    with pytest.raises(CommandError, match="--jobs"):
        command("backupdb", "--jobs", jobs)


def test_backupdb_with_several_jobs(
    command: Callable[..., tuple[int, dict[str, Any]]], awkward: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from deploy.backup.engines import postgresql_parts

    monkeypatch.setattr(postgresql_parts, "WORTH_BYTES", 0)
    code, report = command("backupdb", "--jobs", "2", "--prove")

    assert (code, ids(report)) == (0, [])
    assert step_of(report, "backup")["facts"]["archives"] == 2


def test_from_backup_to_restore_and_prune(
    command: Callable[..., tuple[int, dict[str, Any]]],
    awkward: str,
    query: Query,
    databases: Names,
    conf: DeployConf,
) -> None:
    code, report = command("backupdb", "--prove", "--reason", "before-import")
    assert (code, ids(report)) == (0, [])
    assert step_of(report, "restore")["facts"]["tables"] == 9
    first = step_of(report, "backup")["facts"]["backup"]
    assert databases(conf.scratch_prefix) == set()
    query("INSERT INTO animal VALUES ('late')")
    assert command("backupdb")[0] == 0

    code, report = command("backups", "list")
    listed = step_of(report, "backups list")["facts"]["backups"]
    assert code == 0
    assert [entry["release"] for entry in listed] == ["test-release", "before-import"]
    assert listed[1]["backup"] == first
    assert listed[1]["age_seconds"] >= 0

    assert command("backups", "verify", first)[0] == 0

    code, report = command("restoredb", first, "--dry-run")
    assert (code, step_of(report, "plan")["facts"]["live"]) == (0, awkward)
    assert databases(awkward) == {awkward}

    for taken, found in ((awkward, "deploy.B009"), ("postgres", "deploy.B014")):
        code, report = command("restoredb", first, "--into", taken, "--dry-run")
        assert (code, ids(report)) == (2, [found])
    code, report = command("restoredb", first, "--into", f"{awkward}_look")
    assert (code, len(query("SELECT name FROM ONLY animal", f"{awkward}_look"))) == (0, 1)

    code, report = command("restoredb", first, "--yes-replace", awkward)
    assert (code, ids(report)) == (0, ["deploy.B017"])
    assert len(query("SELECT name FROM ONLY animal")) == 1
    old = step_of(report, "restore")["facts"]["kept_as"]

    code, report = command("restoredb", first, "--table", "dog", "--into-schema", "look")
    assert (code, query("SELECT count(*) FROM look.dog")) == (0, [(2,)])

    code, report = command("restoredb", "--list-kept")
    (kept,) = step_of(report, "kept databases")["facts"]["kept"]
    assert (code, kept["database"]) == (0, old)
    assert command("restoredb", "--swap-back", old, "--yes-replace", awkward, "--dry-run")[0] == 0
    assert ids(command("restoredb", "--swap-back", old)[1]) == ["deploy.B012"]
    assert len(query("SELECT name FROM ONLY animal")) == 1
    code, report = command("restoredb", "--swap-back", old, "--yes-replace", awkward)
    assert (code, ids(report), len(query("SELECT name FROM ONLY animal"))) == (0, ["deploy.B017"], 2)
    old = step_of(report, "swap back")["facts"]["kept_as"]

    assert command("restoredb", "--drop-old", old, "--dry-run")[0] == 0
    assert old in databases(awkward)
    code, report = command("restoredb", "--drop-old", old)
    assert (code, step_of(report, "drop")["facts"]) == (0, {"dropped": old})
    code, report = command("restoredb", "--drop-old", old)
    assert (code, step_of(report, "drop")["facts"]) == (0, {"was_not_there": old})
    assert databases(awkward) == {awkward, f"{awkward}_look"}

    assert command("backups", "prune", "--keep", "1", "--dry-run")[1]["steps"][0]["facts"]["delete"] == []
    only = ["--keep", "1", *(f"--keep-{name}={0}" for name in ("days", "daily", "weekly", "monthly"))]
    # The older one is the newest that was proved to L2.
    assert command("backups", "prune", *only, "--dry-run")[1]["steps"][0]["facts"]["delete"] == []
    assert command("backups", "verify", "latest", "--grade", "L2")[0] == 0
    code, report = command("backups", "prune", *only, "--dry-run")
    assert (code, step_of(report, "plan")["facts"]["delete"]) == (0, [first])
    code, report = command("backups", "prune", *only)
    assert (code, step_of(report, "prune")["facts"]["deleted"]) == (0, [first])
    assert len(step_of(command("backups", "list")[1], "backups list")["facts"]["backups"]) == 1


def test_replacing_needs_the_name(
    command: Callable[..., tuple[int, dict[str, Any]]],
    awkward: str,
    databases: Names,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    command("backupdb")
    tries: list[tuple[list[str], str | None]] = [
        ([], None),
        (["--yes-replace", awkward[:-1]], None),
        (["--yes-replace", ""], None),
        ([], "yes"),
        ([], ""),
    ]
    for arguments, typed in tries:
        stdin = io.StringIO(f"{typed}\n")
        stdin.isatty = lambda typed=typed: typed is not None  # type: ignore[method-assign,misc]  # a terminal or none
        monkeypatch.setattr("sys.stdin", stdin)
        code, report = command("restoredb", "latest", *arguments)
        assert (code, ids(report)) == (2, ["deploy.B012"]), arguments
    assert databases(awkward) == {awkward}

    stdin = io.StringIO(f"{awkward}\n")
    stdin.isatty = lambda: True  # type: ignore[method-assign]  # a terminal
    monkeypatch.setattr("sys.stdin", stdin)
    assert command("restoredb", "latest")[0] == 0
    assert len(databases(awkward)) == 2


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        (["restoredb"], "deploy.R002"),
        (["restoredb", "latest", "--drop-old", "x"], "deploy.R002"),
        (["restoredb", "latest"], "deploy.B001"),
        (["restoredb", "latest", "--table", "x"], "deploy.R002"),
        (["restoredb", "latest", "--into-schema", "x"], "deploy.R002"),
        (["restoredb", "latest", "--list-kept"], "deploy.R002"),
        (["restoredb", "latest", "--into", "x", "--yes-replace", "x"], "deploy.R002"),
        (["restoredb", "--swap-back", "x"], "deploy.B016"),
        (["restoredb", "--drop-old", "postgres"], "deploy.B014"),
        (["backups", "verify", "../../etc"], "deploy.B001"),
        (["backups", "prune", "--keep", "0"], "deploy.R002"),
        (["backups", "prune", "--keep-days", "-1"], "deploy.R002"),
        (["backups", "show", "20261123T131850123Z"], "deploy.B001"),
    ],
)
def test_bad_input_gets_one_finding(
    command: Callable[..., tuple[int, dict[str, Any]]], live: str, arguments: list[str], found: str
) -> None:
    code, report = command(*arguments)

    assert (code, ids(report)) == (2, [found])


def test_the_question_is_asked_when_no_live_view_can_paint_over_it(
    command: Callable[..., tuple[int, dict[str, Any]]], awkward: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("backupdb")
    running: list[str] = []
    asked: list[str] = []
    errors = io.StringIO()

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

        def readline(self, *_: Any) -> str:
            asked.append(errors.getvalue())
            running.extend(started.difference(finished))
            return "no\n"

    started: set[str] = set()
    finished: set[str] = set()
    listener = "deploy.reporting.render_json.JSONRenderer"
    monkeypatch.setattr(f"{listener}.step_started", lambda _, step: started.add(step.name), raising=False)
    monkeypatch.setattr(f"{listener}.step_finished", lambda _, step: finished.add(step.name), raising=False)
    monkeypatch.setattr("sys.stdin", Terminal())
    with server.connect(ALIAS):
        assert command("restoredb", "latest", errors=errors)[0] == 2
    assert " now, are ended at once; what they have not committed is lost." in asked[0]
    assert "plan" in started
    assert running == []


def test_the_age_has_an_exit_code_a_metric_and_a_line_for_the_log(
    command: Callable[..., tuple[int, dict[str, Any]]], awkward: str, tmp_path: Path
) -> None:
    file = tmp_path / "backup.prom"
    code, report = command("backups", "age", "--metrics", str(file))
    assert (code, ids(report)) == (1, ["deploy.B053"])
    assert "deploy_backup_count{" in file.read_text()

    assert command("backupdb")[0] == 0
    assert command("backups", "age", "--max", "26h", "--log")[0] == 0
    assert command("backups", "age", "--max", "0s")[0] == 1
    assert command("backups", "age", "--grade", "L2")[0] == 1
    assert command("backups", "verify", "--grade", "L2")[0] == 0
    code, report = command("backups", "age", "--grade", "L2", "--metrics", str(file))
    assert (code, step_of(report, "backups age")["facts"]["grade"]) == (0, "L2")
    assert "deploy_backup_created_timestamp_seconds{" in file.read_text()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".b")] == []

    code, report = command("backups", "show")
    shown = step_of(report, "backups show")["facts"]
    assert (code, shown["grade"], [one["grade"] for one in shown["proofs"]]) == (0, "L2", [2])
    assert shown["proofs"][0]["rto_seconds"] > 0
    assert {one["kind"] for one in shown["companions"]} == {"configuration"}
    assert shown["table_rows"][0] == {"table": "public.person", "rows": 502, "digest": "of all rows"}


def test_metrics_that_cannot_be_written_do_not_swallow_the_alarm(
    command: Callable[..., tuple[int, dict[str, Any]]], live: str, tmp_path: Path
) -> None:
    code, report = command("backups", "age", "--metrics", str(tmp_path / "absent" / "m.prom"), "--log")

    assert (code, ids(report)) == (2, ["deploy.B053", "deploy.B057"])


def test_a_list_for_people_calls_a_backup_by_its_moment_which_names_it(
    command: Callable[..., tuple[int, dict[str, Any]]], live: str
) -> None:
    assert command("backupdb", "--reason", "a-release-of-a-long-name")[0] == 0
    code, report = command("backups", "list")
    row = report["steps"][0]["facts"]["backups"][0]
    short = _short(row)
    assert (code, short["release"]) == (0, "a-release-o…")
    assert command("backups", "show", short["backup"])[1]["steps"][0]["facts"]["backup"] == row["backup"]


def test_restoredb_makes_a_live_database_anew_that_is_gone(
    command: Callable[..., tuple[int, dict[str, Any]]], awkward: str, query: Query, databases: Names
) -> None:
    from deploy.databases import postgresql as server

    assert command("backupdb")[0] == 0
    with server.connect_maintenance("default") as connection:
        server.drop(connection, awkward)

    planned, plan = command("restoredb", "latest", "--dry-run")
    code, report = command("restoredb", "latest", "--yes-replace", awkward)

    assert (planned, code) == (0, 0)
    assert step_of(plan, "plan")["facts"]["old"] == ""
    assert step_of(report, "restore")["facts"]["kept_as"] == ""
    assert databases(awkward) == {awkward}
    assert query("SELECT name FROM ONLY animal") == [("cat",)]


@pytest.mark.parametrize("how", ["replace", "into", "tables"])
def test_damage_that_a_restore_finds_is_recorded(
    command: Callable[..., tuple[int, dict[str, Any]]],
    conf: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    how: str,
) -> None:
    assert command("backupdb")[0] == 0
    (archive,) = [one.name for one in bucket.list("backups/") if one.name.endswith("archive.dump.zst")]
    body = bytearray(bucket.read(archive))
    body[len(body) // 2] ^= 1
    bucket.put(archive, bytes(body))
    arguments = {
        "replace": ["--yes-replace", awkward],
        "into": ["--into", f"{awkward}_look"],
        "tables": ["--table", "animal", "--into-schema", "look"],
    }[how]

    code, report = command("restoredb", "latest", *arguments)

    assert (code, ids(report)) == (1, ["deploy.B004"])
    (manifest,) = backup.list_backups(conf, bucket)
    assert grade_of(manifest) == "damaged"
