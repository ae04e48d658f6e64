"""A process that has Django loaded and forks one child per command, to be killed: `python -m …zygote`.

Real processes at a hundredth of the price of starting Python. It reads a task a line and answers with an
outcome a line. Each child leads a session of its own, by which everything that it started is found again.
"""

from __future__ import annotations

import copy
import json
import os
import signal
import sys
import time
from contextlib import ExitStack, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

_END_SECONDS = 60.0
_ORPHAN_SECONDS = 10.0


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(_run(json.loads(line))) + "\n")
        sys.stdout.flush()


def _run(task: dict[str, Any]) -> list[dict[str, Any]]:
    """Start every command of the task at once, kill those that are to be killed, and wait for all."""
    began = time.monotonic()
    children = {}
    for number, command in enumerate(task["commands"]):
        out = Path(task["out"]) / f"{number}.json"
        pid = os.fork()
        if pid == 0:
            _be_the_command(task, command, out)
        children[pid] = (number, out, command.get("kill_after"))
    outcomes: list[dict[str, Any]] = [{}] * len(children)
    while children:
        now = time.monotonic() - began
        for pid, (number, out, kill_after) in list(children.items()):
            if kill_after is not None and now >= kill_after:
                os.kill(pid, signal.SIGKILL)
            ended, status = os.waitpid(pid, os.WNOHANG if kill_after is None or now < kill_after else 0)
            if ended:
                outcomes[number] = {
                    "code": os.waitstatus_to_exitcode(status),
                    "seconds": time.monotonic() - began,
                    "left": _left(pid),
                    "out": out.read_text(),
                }
                _learn(out.with_suffix(".modules"))
                del children[pid]
        if now > _END_SECONDS:
            for pid in children:
                os.kill(pid, signal.SIGKILL)
            raise TimeoutError(f"{task['commands']} did not end in {_END_SECONDS} s")
        time.sleep(0.001)
    return outcomes


def _be_the_command(task: dict[str, Any], command: dict[str, Any], out: Path) -> None:
    """In the child: run it as the command line would, and end."""
    os.setsid()
    descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    code = 99
    try:
        os.environ.update(task["environment"])
        from django.conf import settings
        from django.core.management import call_command
        from django.db import connections

        from deploy.backup.engines import postgresql_parts
        from deploy.buckets import open_bucket
        from deploy.testing import BucketFault, FaultyBucket
        from tests.backup.conftest import ALIAS

        entry = copy.deepcopy(connections.settings["default"])
        connections.settings[ALIAS] = {**entry, "NAME": task["live"]}
        settings.DEPLOY = task["deploy"]
        # Every table is large enough for a process of its own, where several are asked for.
        postgresql_parts.WORTH_BYTES = 0
        with ExitStack() as stack:
            if fault := command.get("fault"):
                url = task["deploy"]["BUCKET"]
                stack.enter_context(FaultyBucket(open_bucket(url), BucketFault(**fault)).instead_of(url))
            call_command(*command["argv"], "--format", "json")
        code = 0
    except SystemExit as end:
        code = int(end.code or 0)
    finally:
        out.with_suffix(".modules").write_text("\n".join(sys.modules))
        sys.stdout.flush()
        os._exit(code)


def _learn(modules: Path) -> None:
    """Import what a child that ran to its end has imported, so that the next ones need not."""
    if not modules.exists():
        return
    for name in modules.read_text().split():
        if name not in sys.modules:
            with suppress(ImportError):  # made by a program, or a part of one that is not to be had alone
                import_module(name)
    modules.unlink()


def _left(session: int) -> list[str]:
    """What still runs of a session after some seconds, by name."""
    give_up = time.monotonic() + _ORPHAN_SECONDS
    while (found := _of_session(session)) and time.monotonic() < give_up:
        time.sleep(0.005)
    return found


def _of_session(session: int) -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(") ")
        except (FileNotFoundError, ProcessLookupError):
            continue
        state, _, _, of, *_ = rest.split()
        if int(of) == session and state not in "ZX":
            found.append(name)
    return found


if __name__ == "__main__":
    main()
