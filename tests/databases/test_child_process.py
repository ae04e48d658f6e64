"""A client program ends with its block, and with its parent however that one ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.databases.child_process import running

ENVIRONMENT = {"PATH": os.defpath}

# Starts a child that reads and writes nothing, so that no closed pipe can end it; and says its pid.
PARENT = """
import sys, time
from deploy.databases.child_process import running
with running(["/bin/sleep", "60"], environment={}) as program:
    print(program.process.pid, flush=True)
    time.sleep(60)
"""


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return True


def until(condition: Callable[[], bool], seconds: float = 5) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children of the killed on Linux")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_child_dies_with_its_parent(number: signal.Signals) -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        until(lambda: "sleep" in Path(f"/proc/{pid}/cmdline").read_text().partition("\0")[0])
        assert os.getpgid(pid) == pid
        parent.send_signal(number)
        parent.wait()
        until(lambda: gone(pid))


def test_the_whole_group_ends_with_the_block() -> None:
    script = "sleep 60 & echo $!; wait"
    with running(["/bin/sh", "-c", script], environment=ENVIRONMENT, stdout=True) as program:
        grandchild = int(program.stdout.readline())
        assert not gone(grandchild)

    until(lambda: gone(grandchild))
    assert program.process.returncode == -signal.SIGTERM


def test_one_that_ignores_the_polite_signal_is_killed() -> None:
    script = "trap '' TERM; echo ready; while :; do read -r x; done"
    with running(["/bin/sh", "-c", script], environment=ENVIRONMENT, stdin=True, stdout=True) as program:
        program.stdout.readline()
        program.end()

    assert program.process.returncode == -signal.SIGKILL


def test_its_last_error_is_the_reason() -> None:
    script = "echo 'pg_dump: detail: x' >&2; echo 'pg_dump: error: no such thing.' >&2; echo hint >&2; exit 3"
    with running(["/bin/sh", "-c", script], environment=ENVIRONMENT) as program:
        assert program.finish() == 3

    assert program.reason == "no such thing"


def test_a_flood_of_errors_neither_blocks_nor_fills_memory() -> None:
    script = (
        "i=0; while [ $i -lt 5000 ]; do echo 'a rather long line of complaint' >&2; i=$((i+1)); done; exit 1"
    )
    with running(["/bin/sh", "-c", script], environment=ENVIRONMENT) as program:
        assert program.finish() == 1

    assert program.reason == "a rather long line of complaint"


def test_one_that_is_killed_says_so() -> None:
    with running(["/bin/sh", "-c", "kill -9 $$"], environment=ENVIRONMENT) as program:
        assert program.finish() == -9

    assert program.reason == "killed by signal 9"


def test_it_gets_the_environment_that_was_given_and_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET", "x")
    with running(["/usr/bin/env"], environment={"PGPASSWORD": "p"}, stdout=True) as program:
        seen = program.stdout.read().decode().split()

    assert [line for line in seen if not line.startswith("LC_CTYPE=")] == ["PGPASSWORD=p"]
