"""A library that reads one stream and writes another, as a generator of the pieces that it writes."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread

# Libraries write a few kilobytes at a time, and each handing over costs. Larger pieces than this gain
# nothing, and up to six of them are held.
_PIECE_BYTES = 256 * 1024
_WAITING = 4  # pieces
_LOOK_SECONDS = 0.2


class _Stopped(Exception):  # noqa: N818 – a way out of the library's thread, never seen outside
    """Nobody takes what is written any more."""


class Reader:
    """The pieces as the library reads them; it remembers what they raise, which the library would reword."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._rest = memoryview(b"")
        self.error: BaseException | None = None

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes; none at the end."""
        try:
            while not self._rest:
                piece = next(self._pieces, None)
                if piece is None:
                    return b""
                self._rest = memoryview(piece)
        except BaseException as error:
            self.error = error
            raise
        taken = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(taken) :]
        return bytes(taken)


class Writer:
    """Joins what the library writes to larger pieces and hands them on."""

    def __init__(self, stopped: Event) -> None:
        self.pieces: Queue[bytes | None] = Queue(_WAITING)
        self._stopped = stopped
        self._held = bytearray()

    def write(self, data: bytes, /) -> int:
        """Take all of `data`."""
        self._held += data
        if len(self._held) >= _PIECE_BYTES:
            self.flush()
        return len(data)

    def flush(self) -> None:
        """Hand on what is held."""
        if self._held:
            piece, self._held = bytes(self._held), bytearray()
            self.put(piece)

    def put(self, item: bytes | None) -> None:
        """Hand on a piece, or None for the end; waits while enough wait to be taken."""
        while not self._stopped.is_set():
            try:
                self.pieces.put(item, timeout=_LOOK_SECONDS)
            except Full:
                continue
            return
        raise _Stopped


def through(
    act: Callable[[Reader, Writer], None], pieces: Generator[bytes], *, name: str
) -> Generator[bytes]:
    """What `act` writes while it reads `pieces`, in a thread `name`, which closes them; what either raises is
    raised here. The thread is not waited for: it may be stuck in a read until a pipe is closed.
    """
    stopped = Event()
    reader, writer = Reader(pieces), Writer(stopped)
    failed: list[BaseException] = []

    def work() -> None:
        try:
            act(reader, writer)
            writer.flush()
        except BaseException as error:  # noqa: BLE001 – raised again by whoever takes the pieces
            failed.append(reader.error or error)
        finally:
            pieces.close()
            if not stopped.is_set():
                try:
                    writer.put(None)
                except _Stopped:
                    return

    thread = Thread(target=work, name=name, daemon=True)
    thread.start()
    try:
        while (piece := _take(writer.pieces, thread)) is not None:
            yield piece
        if failed:
            raise failed[0]
    finally:
        stopped.set()


def _take(pieces: Queue[bytes | None], thread: Thread) -> bytes | None:
    """The next piece; None at the end, or when the thread is gone without having said so."""
    while True:
        try:
            return pieces.get(timeout=_LOOK_SECONDS)
        except Empty:
            if not thread.is_alive() and pieces.empty():
                return None
