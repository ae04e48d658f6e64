"""A resumable upload to GCS that either becomes a whole, checked object or nothing.

https://cloud.google.com/storage/docs/performing-resumable-uploads. The client library's own `BlobWriter` is
not used: when the block fails it sends the cancellation to the address that starts uploads instead of the
session's (google-cloud-storage 3.17, `fileio.BlobWriter.terminate`), and when a chunk is stored in part it
stops with a ValueError instead of sending the rest.
"""

from __future__ import annotations

import mmap
import random
import re
import time
from contextlib import suppress
from http import HTTPStatus
from typing import Any

import requests

from .base import BucketError, PreconditionFailed
from .streams import Checksum

# A multiple of 256 KiB, as Google asks; 8 MiB is its own recommendation for memory against round trips.
CHUNK_BYTES = 8 * 1024 * 1024
_PASSING = {408, 429, 500, 502, 503, 504}


class ResumableUpload:
    """Sends an object to a session in chunks.

    Args:
        http: an authorised session.
        session_url: from the answer that started the upload. It is a credential: it enters no message.
        place: name of the object for messages.
        retry_seconds: how long one chunk may fail before the upload does.
    """

    def __init__(
        self,
        http: requests.Session,
        session_url: str,
        *,
        place: str,
        timeout_seconds: tuple[float, float],
        retry_seconds: float,
    ) -> None:
        self._http = http
        self._url = session_url
        self._place = place
        self._timeout_seconds = timeout_seconds
        self._retry_seconds = retry_seconds
        # Filled anew for each chunk and sent from where it is: copies would double what an upload takes. Of
        # a mapping, only what is written to takes memory: small objects are written beside large ones.
        self._buffer = memoryview(mmap.mmap(-1, CHUNK_BYTES))
        self._held_bytes = 0
        self._sent_bytes = 0

    def write(self, data: bytes) -> None:
        """Take more of the object. The last chunk is kept back: only `finish` can make the object."""
        rest = memoryview(data)
        while rest:
            if self._held_bytes == CHUNK_BYTES:
                self._send(self._buffer, total=None, checksum="")
                self._held_bytes = 0
            piece = rest[: CHUNK_BYTES - self._held_bytes]
            self._buffer[self._held_bytes : self._held_bytes + len(piece)] = piece
            self._held_bytes += len(piece)
            rest = rest[len(piece) :]

    def finish(self, checksum: Checksum) -> dict[str, Any]:
        """Send the rest and the checksum, which the server compares before it makes the object.

        Returns the object's resource. Raises BucketError, PreconditionFailed.
        """
        rest = self._buffer[: self._held_bytes]
        resource = self._send(rest, total=self._sent_bytes + len(rest), checksum=checksum.encoded())
        if resource is None:
            raise BucketError(f"could not write {self._place}: the upload was not completed")
        return resource

    def cancel(self) -> None:
        """Give the upload up. Should this not arrive, the session expires in a week without an object."""
        with suppress(requests.RequestException):
            self._http.delete(self._url, timeout=self._timeout_seconds, headers={"Content-Length": "0"})

    def _send(self, data: memoryview, *, total: int | None, checksum: str) -> dict[str, Any] | None:
        """Send `data` after what was sent; the resource when the server has made the object."""
        start, end = self._sent_bytes, self._sent_bytes + len(data)
        give_up = time.monotonic() + self._retry_seconds
        delay_seconds = 0.1
        ask = False
        while True:
            # After a failure the server is asked first: what it has need not be sent again.
            answer = self._put(data[:0] if ask else data[self._sent_bytes - start :], total, checksum)
            if answer is not None and answer.status_code in (HTTPStatus.OK, HTTPStatus.CREATED):
                resource: dict[str, Any] = answer.json()
                return resource
            before = self._sent_bytes
            if answer is not None:
                self._sent_bytes = self._stored(answer, least=start, most=end)
                if self._sent_bytes == end and total is None:
                    return None
                if ask or self._sent_bytes > before:
                    ask = False
                    continue
            if time.monotonic() > give_up:
                raise BucketError(f"could not write {self._place}: not in {self._retry_seconds:g} seconds")
            time.sleep(delay_seconds * random.uniform(0.5, 1))  # noqa: S311 – jitter, no secret
            delay_seconds = min(delay_seconds * 2, 8)
            ask = answer is None

    def _put(self, piece: memoryview, total: int | None, checksum: str) -> requests.Response | None:
        """One request; None where trying again can help. An empty `piece` only asks how far the server is."""
        last = self._sent_bytes + len(piece) - 1
        headers = {
            "Content-Range": f"bytes {f'{self._sent_bytes}-{last}' if len(piece) else '*'}"
            f"/{'*' if total is None else total}"
        }
        if checksum:
            headers["x-goog-hash"] = f"crc32c={checksum}"
        try:
            answer = self._http.put(
                self._url,
                data=piece,  # type: ignore[arg-type]  # http.client sends whatever has the buffer interface
                headers=headers,
                timeout=self._timeout_seconds,
                allow_redirects=False,
            )
        except requests.RequestException:
            return None
        if answer.status_code in _PASSING:
            return None
        if answer.status_code == HTTPStatus.PRECONDITION_FAILED:
            raise PreconditionFailed(f"{self._place} is not at the generation that was required")
        if answer.status_code not in (HTTPStatus.OK, HTTPStatus.CREATED, HTTPStatus.PERMANENT_REDIRECT):
            raise BucketError(f"could not write {self._place}: HTTP {answer.status_code} {answer.reason}")
        return answer

    def _stored(self, answer: requests.Response, *, least: int, most: int) -> int:
        """How many bytes the server has, by the Range header of its 308."""
        match = re.fullmatch(r"bytes=0-(\d+)", answer.headers.get("Range", ""))
        stored = int(match.group(1)) + 1 if match else 0
        if not least <= stored <= most:
            raise BucketError(f"could not write {self._place}: the server has {stored} bytes, not {least}")
        return stored
