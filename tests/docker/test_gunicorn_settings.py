"""docker/gunicorn.conf.py: what it takes from the machine, and what it has to agree with."""

from __future__ import annotations

import os
import runpy
from typing import Any

import pytest
import yaml

from tests.docker.serving import ROOT, SETTINGS

COMPOSE_FILES = sorted((ROOT / "docker").glob("compose*.yaml"))
# What gunicorn's master needs around its workers' graceful timeout: it looks ten times a second.
MARGIN_SECONDS = 5


@pytest.fixture
def settings(monkeypatch) -> dict[str, Any]:
    for name in list(os.environ):
        if name.startswith("WEB_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("DRAIN_FILE", "")  # the settings write it; it is put back
    monkeypatch.setattr(os, "sched_getaffinity", lambda _pid: set(range(16)))
    return runpy.run_path(str(SETTINGS))


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"cpu.max": "200000 100000\n"}, 2),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "10000 100000\n"}, 1),
        ({"cpu.max": "9900000 100000\n"}, 16),
        ({"cpu.max": "max 100000\n"}, 16),
        ({"cpu.max": ""}, 16),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 16),
        ({}, 16),
    ],
)
def test_cores_are_those_that_the_container_may_use(settings, tmp_path, files, cores):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert settings["usable_cores"](tmp_path) == cores


def test_workers_follow_the_cores_and_the_variable(settings, monkeypatch):
    assert settings["workers"] == max(2, settings["usable_cores"]())
    monkeypatch.setenv("WEB_CONCURRENCY", "5")
    assert runpy.run_path(str(SETTINGS))["workers"] == 5


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("PORT", "http"),
        ("WEB_CONCURRENCY", "0"),
        ("WEB_THREADS", "-1"),
        ("WEB_MAX_REQUESTS", "\N{SUPERSCRIPT TWO}"),
        ("WEB_DRAIN_SECONDS", "inf"),
    ],
)
def test_a_wrong_number_is_named_and_nothing_starts(settings, monkeypatch, capsys, name, text):
    monkeypatch.setenv(name, text)
    with pytest.raises(SystemExit) as stopped:
        runpy.run_path(str(SETTINGS))
    assert stopped.value.code == 2
    assert capsys.readouterr().err.startswith(f"{name} is {text!r}, not a whole number from ")


def test_workers_are_recycled_at_different_times(settings):
    assert settings["max_requests"] > 0
    assert settings["max_requests_jitter"] >= settings["max_requests"] / 4


@pytest.mark.parametrize("path", COMPOSE_FILES, ids=lambda path: path.name)
def test_a_container_is_not_killed_before_it_has_stopped_by_itself(settings, path):
    services = yaml.safe_load(path.read_text())["services"]
    backends = {name: service for name, service in services.items() if name.startswith("backend")}
    assert backends
    needed = settings["drain_seconds"] + settings["graceful_timeout"] + MARGIN_SECONDS
    for name, service in backends.items():
        seconds = float(str(service["stop_grace_period"]).removesuffix("s"))
        assert seconds >= needed, name
