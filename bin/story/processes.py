"""The demo's own processes: commands shown as they run, servers that are surely ended."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from rich.console import Console

console = Console(highlight=False, soft_wrap=True)


class StoryError(Exception):
    """An act did not end as told."""


def run(
    argv: list[str], *, cwd: Path, env: dict[str, str], expect: tuple[int, ...] = (0,), shown: bool = True
) -> int:
    """Run a command with its output on this terminal; show how a person would type it.

    Raises:
        StoryError: when it ends with a code that the story does not expect.
    """
    if shown:
        console.print(f"\n[bold cyan]$[/] [bold]{shlex.join(['python', *argv[1:]])}[/]")
        console.file.flush()
    done = subprocess.run(argv, cwd=cwd, env=env, check=False, stdin=subprocess.DEVNULL)
    if done.returncode not in expect:
        wanted = " or ".join(map(str, expect))
        raise StoryError(f"{shlex.join(argv[1:])} ended with {done.returncode}, the story needs {wanted}")
    return done.returncode


def output(argv: list[str], *, cwd: Path, env: dict[str, str]) -> str:
    """A command's standard output; raises StoryError with its errors when it fails."""
    done = subprocess.run(argv, cwd=cwd, env=env, check=False, capture_output=True, text=True)
    if done.returncode:
        raise StoryError(f"{shlex.join(argv[1:])} ended with {done.returncode}: {done.stderr[-2000:]}")
    return done.stdout


class Servers:
    """Background processes, noted in a file so that the next run can end what a killed one left."""

    def __init__(self, note: Path) -> None:
        self._note = note
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(
        self, name: str, argv: list[str], *, cwd: Path, env: dict[str, str], log: Path, pass_fd: int | None
    ) -> None:
        """Start a server in a process group of its own, its output in `log`."""
        with log.open("ab") as sink:
            process = subprocess.Popen(
                argv,
                cwd=cwd,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                pass_fds=() if pass_fd is None else (pass_fd,),
                start_new_session=True,
            )
        self._running[name] = process
        self._write()

    def check(self, name: str) -> None:
        """Raises StoryError when the server has ended."""
        if (code := self._running[name].poll()) is not None:
            raise StoryError(f"the server {name} ended by itself with code {code}")

    def stop(self, name: str, *, seconds: float = 20) -> None:
        """SIGTERM (gunicorn drains), then SIGKILL to its group."""
        process = self._running.pop(name, None)
        if process is None:
            return
        process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        self._write()

    def stop_all(self) -> None:
        """End every server that this run started."""
        for name in list(self._running):
            self.stop(name)

    def _write(self) -> None:
        entries = []
        for name, process in self._running.items():
            try:
                entries.append(
                    {"name": name, "pid": process.pid, "born": psutil.Process(process.pid).create_time()}
                )
            except psutil.NoSuchProcess:
                continue
        self._note.write_text(json.dumps(entries))


def end_leftovers(note: Path) -> None:
    """End the servers that an earlier run noted: only where pid and start time both match."""
    if not note.exists():
        return
    for entry in json.loads(note.read_text() or "[]"):
        try:
            process = psutil.Process(entry["pid"])
            if process.create_time() != entry["born"]:
                continue
            family = [*process.children(recursive=True), process]
        except psutil.NoSuchProcess:
            continue
        process.terminate()
        _, alive = psutil.wait_procs(family, timeout=10)
        for survivor in alive:
            survivor.kill()
    note.unlink()


def python() -> str:
    """The interpreter of the environment that bin/demo made."""
    return sys.executable


def wait_until(ready: Callable[[], bool], *, seconds: float, what: str) -> None:
    """Poll `ready` (a callable without arguments) until it is true.

    Raises:
        StoryError: after `seconds`.
    """
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ready():
            return
        time.sleep(0.05)
    raise StoryError(f"{what} within {seconds:g} s did not happen")
