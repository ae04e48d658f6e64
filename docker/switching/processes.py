"""The one place where programs are started: a list of arguments, a time limit, and both outputs as lines."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .problems import ENGINE

_TAIL_LINES = 30
_LONGEST_OUTPUT_LINES = 100_000
_TERMINATE_SECONDS = 10

Say = Callable[[str], None]


@dataclass(frozen=True)
class Done:
    """A program that ended. `tail`: the last lines of both outputs as they came."""

    code: int
    lines: tuple[str, ...]
    tail: tuple[str, ...]
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """It ended with 0."""
        return self.code == 0

    @property
    def text(self) -> str:
        """Standard output."""
        return "\n".join(self.lines)

    @property
    def last(self) -> str:
        """The last line that says something."""
        return next((line.strip() for line in reversed(self.tail) if line.strip()), f"exit code {self.code}")

    @property
    def disk_full(self) -> bool:
        """Docker, tar, PostgreSQL and Python all say it in the words of the C library."""
        return any("no space left on device" in line.lower() for line in self.tail)


class Programs:
    """Starts programs in `folder`. They inherit `children`, a locked file: see machine_lock.py."""

    def __init__(self, folder: Path, environment: Mapping[str, str], children: int | None = None) -> None:
        self.folder = folder
        self.environment = dict(environment)
        self.children = children

    def start(
        self, argv: Sequence[str], *, stdin: int = subprocess.DEVNULL, more: Mapping[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start it in a session of its own: Ctrl-C is ours, and we end our programs in order.

        Raises:
            Problem: rollout.R007 when there is no such program.
        """
        try:
            return subprocess.Popen(
                list(argv),
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                cwd=self.folder,
                env={**self.environment, **(more or {})},
                start_new_session=True,
                pass_fds=() if self.children is None else (self.children,),
            )
        except OSError as error:
            raise ENGINE(what=f"{argv[0]}", reason=error.strerror or str(error)) from error

    def run(
        self,
        argv: Sequence[str],
        *,
        seconds: float,
        say: Say | None = None,
        more: Mapping[str, str] | None = None,
        on_stop: Callable[[], None] | None = None,
    ) -> Done:
        """Run it to its end, or until `seconds` are over: then it is ended, and `timed_out` is set.

        `say` gets each line as it comes. `on_stop` is called before it is ended early, for what it started
        elsewhere (a container).
        """
        process = self.start(argv, more=more)
        lines: deque[str] = deque(maxlen=_LONGEST_OUTPUT_LINES)
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        readers = [
            _reader(process.stdout, (lines, tail), say),
            _reader(process.stderr, (tail,), say),
        ]
        timed_out = False
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            timed_out = True
        finally:
            if process.poll() is None:
                if on_stop:
                    on_stop()
                end(process)
            for reader in readers:
                reader.join(_TERMINATE_SECONDS)
        return Done(process.returncode, tuple(lines), tuple(tail), timed_out)


def end(process: subprocess.Popen[str]) -> None:
    """SIGTERM to the program and what it started, SIGKILL when that does not help."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):  # it has just ended by itself
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):  # then the next, harder signal
            process.wait(_TERMINATE_SECONDS)
            return


def _reader(stream: IO[str] | None, into: Sequence[deque[str]], say: Say | None) -> threading.Thread:
    def read() -> None:
        assert stream is not None  # noqa: S101 – for the type checker; both are pipes
        with stream:
            for line in stream:
                for lines in into:
                    lines.append(line.rstrip("\n"))
                if say:
                    say(line.rstrip("\n"))

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    return thread
