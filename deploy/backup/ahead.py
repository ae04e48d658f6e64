"""Work of one stage done in a thread, a few items ahead of the stage that takes them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator
from typing import TypeVar

T = TypeVar("T")

# How often a stage that waits for room looks whether anybody still takes from it.
_LOOK_SECONDS = 0.2


class _End:
    """After the last item: the error that ended the work, or None."""

    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def ahead(items: Generator[T], *, depth: int, name: str) -> Generator[T]:
    """The items, taken from `items` in a thread called `name`, at most `depth` of them waiting.

    What `items` raises is raised here, in its place. Close it, or take it to its end: the thread then ends,
    and closes `items`, as soon as its current item is there. It is not waited for, since a read may be stuck
    until a pipe is closed.
    """
    waiting: queue.Queue[T | _End] = queue.Queue(depth)
    stopped = threading.Event()

    def put(item: T | _End) -> bool:
        while not stopped.is_set():
            try:
                waiting.put(item, timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return True
        return False

    def work() -> None:
        error: BaseException | None = None
        try:
            for item in items:
                if not put(item):
                    return
        except BaseException as raised:  # noqa: BLE001 – raised again by whoever takes
            error = raised
        finally:
            items.close()
        put(_End(error))

    threading.Thread(target=work, name=name, daemon=True).start()
    try:
        while not isinstance(item := waiting.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        stopped.set()
