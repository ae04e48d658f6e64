"""Visitors of the public address, all through the story: did anybody notice a deploy?"""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections import Counter


class Visitors:
    """A few threads that ask the public port for a page, about 30 requests a second in all.

    Every request opens a new connection, as a proxy without keep-alive would: the harshest case for a swap.
    """

    def __init__(self, port: int, *, threads: int = 3) -> None:
        self._port = port
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._visit, daemon=True) for _ in range(threads)]
        self._guard = threading.Lock()
        self.answered: Counter[str] = Counter()
        self.failures: list[str] = []

    def __enter__(self) -> Visitors:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            if thread.ident is not None:  # the first act may have ended before they came
                thread.join()

    def _visit(self) -> None:
        while not self._stop.is_set():
            try:
                release, failure = self._ask("/readyz"), ""
            except (OSError, http.client.HTTPException, ValueError) as error:
                release, failure = "", f"{type(error).__name__}: {error}"
            with self._guard:
                if failure:
                    self.failures.append(failure)
                else:
                    self.answered[release] += 1
            time.sleep(0.1)

    def _ask(self, path: str) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            response.read()
            if response.status != http.client.OK:
                raise ValueError(f"{path} answered {response.status}")
            return response.headers.get("X-Release", "")
        finally:
            connection.close()


def live_release(port: int) -> str | None:
    """The release that answers on `port`, or None when nothing (or no release) answers."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/version")
        response = connection.getresponse()
        body = response.read()
        return str(json.loads(body).get("release")) if response.status == http.client.OK else None
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
