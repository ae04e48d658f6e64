"""`smoketest` end to end: a real gunicorn, Django's real admin, a real PostgreSQL."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.health.serving import (
    ROOT,
    Served,
    connect,
    database,
    gunicorn,
    manage,
    server_entry,
    site_environment,
)

ACCOUNT = {"DJANGO_SUPERUSER_USERNAME": "smoke", "DJANGO_SUPERUSER_PASSWORD": "smoke-pass-1"}


class Running:
    def __init__(self, site: Served, entry: dict[str, Any], database_name: str) -> None:
        self.site, self.entry, self.database_name = site, entry, database_name

    def smoke(self, *arguments: str, **variables: str) -> tuple[int, dict[str, Any], str]:
        """Exit code, JSON report, standard error of `smoketest` with these arguments."""
        done = subprocess.run(
            [sys.executable, "-m", "django", "smoketest", *arguments, "--format", "json"],
            env=site_environment(
                self.entry, **{"SMOKE_ACCOUNT": "smoke", "SMOKE_PASSWORD": "smoke-pass-1", **variables}
            ),
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
        )
        return done.returncode, json.loads(done.stdout), done.stdout + done.stderr


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    static: Path = tmp_path_factory.mktemp("static")
    with database() as name:
        entry = server_entry(name)
        manage(entry, "migrate", "-v0")
        manage(entry, "createsuperuser", "--noinput", "--email=", **ACCOUNT)
        manage(entry, "collectstatic", "--noinput", "-v0", SITE_STATIC_ROOT=str(static))
        with gunicorn(
            entry, "--worker-class", "gthread", "--threads", "4", SITE_STATIC_ROOT=str(static)
        ) as site:
            yield Running(site, entry, name)


def test_a_good_release_passes_and_every_probe_has_looked(running: Running) -> None:
    code, report, output = running.smoke(
        running.site.url, "--behind-proxy", "--host", "site.example", "--release", "release-1"
    )
    assert code == 0, output
    assert report["ok"]
    assert report["release"] == "release-1"
    steps = {step["name"]: step for step in report["steps"]}
    assert steps["login"]["facts"] == {"logged_out": True}
    assert steps["api"]["facts"] == {"status": 200}
    assert steps["static files"]["facts"]["looked_at"]
    assert [step["name"] for step in report["steps"] if step["skipped"]] == []
    assert "smoke-pass-1" not in output
    with connect(running.database_name) as server:
        assert server.execute("SELECT count(*) FROM django_session").fetchone() == (0,)


def test_another_release_is_exit_code_1(running: Running) -> None:
    code, report, _ = running.smoke(
        running.site.url, "--behind-proxy", "--host", "site.example", "--release", "release-2"
    )
    assert code == 1
    assert {finding["id"] for step in report["steps"] for finding in step["findings"]} == {
        "deploy.S021",
        "deploy.S023",
    }


def test_a_private_port_without_behind_proxy_says_how_to_ask_it(running: Running) -> None:
    code, report, _ = running.smoke(running.site.url, "--host", "site.example")
    hints = [f["hint"] for step in report["steps"] for f in step["findings"] if f["id"] == "deploy.S005"]
    assert code == 1
    assert hints
    assert all("--behind-proxy" in hint for hint in hints)


def test_a_wrong_password_is_told_without_repeating_it(running: Running) -> None:
    code, report, output = running.smoke(
        running.site.url, "--behind-proxy", "--host", "site.example", SMOKE_PASSWORD="not-the-right-one"
    )
    found = {finding["id"] for step in report["steps"] for finding in step["findings"]}
    assert code == 1
    assert found == {"deploy.S053", "deploy.S060"}
    assert "not-the-right-one" not in output


@pytest.mark.parametrize(
    "arguments", [("ftp://x",), ("http://u:p4ssword@x",), ("http://x", "--timeout", "0")]
)
def test_bad_input_is_one_finding_and_exit_code_2(running: Running, arguments: tuple[str, ...]) -> None:
    code, report, output = running.smoke(*arguments)
    assert code == 2
    assert len([finding for step in report["steps"] for finding in step["findings"]]) == 1
    assert "p4ssword" not in output
    assert "Traceback" not in output
