"""A client program as a child that cannot outlive us, in a process group of its own.

A dump or a restore that goes on after its deployer was killed would hold locks and connections that nobody
answers for. The kernel ends it (Linux: prctl(2), PR_SET_PDEATHSIG); a tiny launcher asks for that after the
fork, because a `preexec_fn` is unsafe in a process with threads. Elsewhere the closed pipe ends it.
"""

from __future__ import annotations

import collections
import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO

# The parent may die before prctl is reached, hence the second look at getppid. SIGINT of a terminal goes to
# the foreground group only: the child does not see it, we end it ourselves.
_LAUNCHER = """
import os, sys
parent, end, argv = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]
if sys.platform == "linux":
    import ctypes
    ctypes.CDLL(None).prctl(1, end)
if os.getppid() != parent:
    os._exit(1)
os.execv(argv[0], argv)
"""

_LAST_LINES = 20
_GRACE_SECONDS = 2.0
_PIPE_BYTES = 1024 * 1024  # the most that an ordinary user may have


class ClientProgram:
    """A running client program; made by `running`.

    Attributes:
        process: with binary `stdin` and `stdout` as asked for.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._said: collections.deque[str] = collections.deque(maxlen=_LAST_LINES)
        self._listener = threading.Thread(target=self._listen, name="client-program-stderr", daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        errors = self.process.stderr
        assert errors is not None  # noqa: S101 – `running` always pipes it
        for line in errors:
            self._said.append(line.decode(errors="replace").strip())

    @property
    def stdout(self) -> IO[bytes]:
        """What the program writes."""
        stream = self.process.stdout
        assert stream is not None  # noqa: S101 – only asked for by those who piped it
        return stream

    @property
    def stdin(self) -> IO[bytes]:
        """What the program reads."""
        stream = self.process.stdin
        assert stream is not None  # noqa: S101 – only asked for by those who piped it
        return stream

    def finish(self) -> int:
        """Wait for the end and return the exit code."""
        code = self.process.wait()
        self._listener.join(timeout=_GRACE_SECONDS)
        return code

    @property
    def reason(self) -> str:
        """The last error it told, in one line, or what can be said of its end."""
        # "A worker process died": pg_restore's last word when one of its workers has said why.
        said = [line for line in self._said if "a worker process died unexpectedly" not in line]
        told = [line for line in said if "error:" in line or "FATAL:" in line] or list(self._said)
        if told:
            return re.sub(r"^\S+: error: ", "", told[-1]).rstrip(".")
        code = self.process.returncode
        return f"killed by signal {-code}" if code is not None and code < 0 else "it gave no reason"

    def kill(self) -> None:
        """End the program at once, from any thread; what reads its output comes to the end of it."""
        if self.process.poll() is None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End the program and everything it started: politely, then not."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            if self.process.poll() is not None:
                break
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, number)
            with suppress(subprocess.TimeoutExpired):
                self.process.wait(_GRACE_SECONDS)
        for stream in (self.process.stdin, self.process.stdout):
            if stream is not None:
                with suppress(OSError):
                    stream.close()
        self._listener.join(timeout=_GRACE_SECONDS)
        if self.process.stderr is not None:
            self.process.stderr.close()


@contextmanager
def running(
    argv: Sequence[str],
    *,
    environment: Mapping[str, str],
    stdin: bool = False,
    stdout: bool = False,
    orphaned: signal.Signals = signal.SIGKILL,
) -> Iterator[ClientProgram]:
    """Run `argv` (its first element an absolute path) for the length of the block; it is ended with it.

    `stdin` and `stdout` say which of them to pipe; the other is empty or dropped. The thread that enters the
    block must live until its end: Linux ends the child with the thread that made it, by the signal `orphaned`
    (a program with workers of its own needs one that it can pass on to them).
    """
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-c", _LAUNCHER, str(os.getpid()), str(int(orphaned)), *argv],
        env=dict(environment),
        stdin=subprocess.PIPE if stdin else subprocess.DEVNULL,
        stdout=subprocess.PIPE if stdout else subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        process_group=0,
    )
    if process.stdout is not None:
        _widen(process.stdout)
    program = ClientProgram(process)
    try:
        yield program
    finally:
        program.end()


def _widen(pipe: IO[bytes]) -> None:
    """Let more wait in the pipe than the 64 KiB that Linux begins with (fcntl(2), F_SETPIPE_SZ)."""
    if sys.platform == "linux":
        # Refused where the user has too much in pipes already: then it stays as it is.
        with suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
