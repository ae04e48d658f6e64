"""A blocking check that can hang, made safe to ask often: one at a time, shared, and cut off at its limit."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress


class Attempt:
    """One run of the check. `watch` gives it the socket it waits on, so that the run can be cut off."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.ended: float | None = None
        self.answer: Future[None] = Future()
        # Running from the start: one asker's time-out must not cancel what the others share.
        self.answer.set_running_or_notify_cancel()
        self._socket: socket.socket | None = None
        self._cut = False
        self._guard = threading.Lock()

    def watch(self, file_number: int) -> None:
        """Remember a duplicate of the socket: the original's number may belong to another by the time of a
        `cut`."""
        with self._guard:
            self._socket = socket.socket(fileno=os.dup(file_number))
            self._shut_if_cut()

    def cut(self) -> None:
        """Shut the watched socket: whoever waits on it, in another thread, gets an error at once."""
        with self._guard:
            self._cut = True
            self._shut_if_cut()

    def _shut_if_cut(self) -> None:
        if self._cut and self._socket is not None:
            with suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def run(self, check: Callable[[Attempt], None]) -> None:
        """Run the check to its end and publish the outcome."""
        try:
            check(self)
        except BaseException as error:  # noqa: BLE001 – handed to every asker through the future
            self._finish()
            self.answer.set_exception(error)
        else:
            self._finish()
            self.answer.set_result(None)

    def _finish(self) -> None:
        self.ended = time.monotonic()
        with self._guard:
            if self._socket is not None:
                self._socket.close()
                self._socket = None


class SharedCheck:
    """Runs `check` in a daemon thread of its own; who asks meanwhile, or just after, shares the answer.

    Probes come without a login and may come in floods, so they must not cost a connection each. A thread of
    the event loop's executor would not do: the loop joins it before the response leaves, however late.

    Args:
        check: blocks; returns when all is well, raises when not.
        limit_seconds: an attempt older than this is cut off, and the next asker starts a new one.
        fresh_seconds: how long an answer serves those who ask after it.
    """

    def __init__(
        self, check: Callable[[Attempt], None], *, limit_seconds: float, fresh_seconds: float
    ) -> None:
        self.limit_seconds = limit_seconds
        self.fresh_seconds = fresh_seconds
        self._check = check
        self._attempt: Attempt | None = None
        self._process = os.getpid()
        self._guard = threading.Lock()

    def ask(self) -> Future[None]:
        """The outcome to wait for. Wait no longer than `limit_seconds`."""
        with self._guard:
            attempt = self._attempt
            if attempt is not None and self._process == os.getpid() and self._serves(attempt):
                return attempt.answer
            self._process = os.getpid()  # threads do not survive a fork, nor do their answers
            self._attempt = attempt = Attempt()
            threading.Thread(
                target=attempt.run, args=(self._check,), name="deploy-health", daemon=True
            ).start()
            return attempt.answer

    def _serves(self, attempt: Attempt) -> bool:
        now = time.monotonic()
        if attempt.ended is not None:
            return now - attempt.ended < self.fresh_seconds
        if now - attempt.began < self.limit_seconds:
            return True
        attempt.cut()
        return False
