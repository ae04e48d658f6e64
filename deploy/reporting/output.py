"""The one place where a command's text leaves the process: redacted, encodable, and never in the way."""

from __future__ import annotations

import os
import re
from typing import Protocol

from .redaction import redact

# C0 and C1 controls but tab and newline: text from a database, a header or a file name must not be able to
# move the cursor, recolour the terminal or start an escape sequence.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """`text` without control characters (tabs and newlines stay)."""
    return _CONTROLS.sub("", text)


class TextSink(Protocol):
    """What `Output` writes to: a text file, or Django's OutputWrapper around one."""

    def write(self, text: str, /) -> object: ...
    def flush(self) -> None: ...
    def isatty(self) -> bool: ...
    def fileno(self) -> int: ...


class Output:
    """A text stream for the renderers.

    Everything is redacted on its way out. Characters that the stream can't encode are replaced, and a
    reader that went away (`| head`) ends the output, not the deploy: a broken pipe must not stop a
    migration half way.
    """

    def __init__(self, sink: TextSink) -> None:
        self._sink = sink
        self._gone = False
        self.encoding = str(getattr(sink, "encoding", None) or "utf-8")

    @property
    def speaks_unicode(self) -> bool:
        """The stream takes the symbols of the reports."""
        try:
            "▶✓✗–→…".encode(self.encoding)
        except (UnicodeEncodeError, LookupError):
            return False
        return True

    def write(self, text: str) -> int:
        """Write `text` as it is (no newline added); returns its length."""
        if self._gone:
            return len(text)
        safe = redact(text)
        if not self.speaks_unicode:
            safe = safe.encode("ascii", "replace").decode("ascii")
        try:
            self._sink.write(safe)
        except (BrokenPipeError, ValueError):  # ValueError: the file was closed
            self._reader_left()
        return len(text)

    def line(self, text: str = "") -> None:
        """Write one line and flush it, so that whoever follows the log sees a step when it starts."""
        self.write(f"{text}\n")
        self.flush()

    def flush(self) -> None:
        """Hand everything to the reader."""
        if self._gone:
            return
        try:
            self._sink.flush()
        except (BrokenPipeError, ValueError):
            self._reader_left()

    def isatty(self) -> bool:
        """A person is looking."""
        try:
            return self._sink.isatty()
        except ValueError:
            return False

    def _reader_left(self) -> None:
        """Send what libraries still print, and Python's flush at exit, where it stops nothing."""
        self._gone = True
        try:
            number = self._sink.fileno()
        except (AttributeError, OSError, ValueError):
            return  # not a file of the operating system, or already closed
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, number)
        os.close(nowhere)
