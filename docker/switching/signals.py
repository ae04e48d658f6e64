"""SIGTERM and SIGINT become an exception, once; what is done about it is not interrupted again."""

from __future__ import annotations

import signal
from types import FrameType

from .problems import Interrupted


class Signals:
    """`install` once. `hold_off` before a way back begins: it must be walked to its end."""

    def __init__(self) -> None:
        self.armed = False

    def install(self) -> None:
        """SIGHUP is ignored: a lost connection to the machine must not take a release back."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._received)
        self.armed = True

    def hold_off(self) -> None:
        """From here on signals are ignored."""
        self.armed = False

    def _received(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002 – the signature is Python's
        if self.armed:
            self.armed = False
            raise Interrupted(signal.Signals(number).name)
