"""A bucket that fails on demand, around any other one.

    bucket = FaultyBucket(LocalBucket(folder), BucketFault("lost", "put", name="*/manifest.json"))
    with bucket.instead_of("file:///srv/bucket"):
        call_command("backupdb")
    assert bucket.met

What the store below does by itself (Google's library tries again for a minute) lies under it: a fault here
is what is left to the caller.
"""

from __future__ import annotations

import io
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn, cast

from deploy.buckets import used_instead
from deploy.buckets.base import (
    Bucket,
    BucketError,
    ObjectInfo,
    ObjectMissing,
    ObjectReader,
    PreconditionFailed,
)
from deploy.buckets.streams import CheckedReader, ChecksumWriter

from .bucket_faults import BucketFault

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a bucket. `name` is the object's, or the prefix of a listing; `fault` what it met."""

    method: str
    name: str
    fault: BucketFault | None = None


class FaultyBucket:
    """`bucket`, with the faults that wait for a call; the first that fits is met, the others not counted.

    Attributes:
        calls: every call so far, oldest first (with several threads, in the order of their beginning).
    """

    def __init__(self, bucket: Bucket, *faults: BucketFault, seed: int = 0) -> None:
        self.url = bucket.url
        self._bucket = bucket
        self._faults = list(faults)
        self._seed = seed
        self._concerned: Counter[int] = Counter()
        self._guard = threading.Lock()
        self.calls: list[Call] = []

    @property
    def met(self) -> list[Call]:
        """The calls that met a fault."""
        return [call for call in self.calls if call.fault]

    def add(self, *faults: BucketFault) -> None:
        """Let these wait too; their calls are counted from now on."""
        with self._guard:
            self._faults += faults

    def clear(self) -> None:
        """No more faults."""
        with self._guard:
            self._faults.clear()
            self._concerned.clear()

    def instead_of(self, url: str) -> AbstractContextManager[None]:
        """For the length of the block everything that opens the bucket `url` gets this one."""
        return used_instead(url, self)

    def stat(self, name: str) -> ObjectInfo | None:
        fault = self._begin("stat", name)
        if fault and fault.kind == "missing":
            return None
        found = self._bucket.stat(name)
        self._end(fault, name)
        return found

    def read(self, name: str) -> bytes:
        fault = self._begin("read", name)
        with self._reading(fault, name) as stream:
            data = stream.read()
        self._end(fault, name)
        return data

    @contextmanager
    def open_read(self, name: str) -> Iterator[ObjectReader]:
        fault = self._begin("open_read", name)
        with self._reading(fault, name) as stream:
            yield stream
        self._end(fault, name)

    def put(
        self,
        name: str,
        data: bytes,
        *,
        if_generation: int | None = None,
        content_type: str = "application/octet-stream",
        cache_control: str = "",
        content_encoding: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        fault = self._begin("put", name)
        written = self._bucket.put(
            name,
            data,
            if_generation=if_generation,
            content_type=content_type,
            cache_control=cache_control,
            content_encoding=content_encoding,
            metadata=metadata,
        )
        self._end(fault, name)
        return written

    @contextmanager
    def open_write(
        self,
        name: str,
        *,
        if_generation: int | None = 0,
        content_type: str = "application/octet-stream",
        metadata: Mapping[str, str] | None = None,
    ) -> Iterator[BinaryIO]:
        fault = self._begin("open_write", name)
        with self._bucket.open_write(
            name, if_generation=if_generation, content_type=content_type, metadata=metadata
        ) as out:
            left = None if fault is None or fault.kind not in ("partial", "kill") else fault.after

            def send(piece: bytes) -> None:
                nonlocal left
                if left is not None and len(piece) >= left:
                    out.write(piece[:left])
                    self._break_off(fault, name)
                left = None if left is None else left - len(piece)
                out.write(piece)

            with ChecksumWriter(send) as writer:
                yield cast(BinaryIO, writer)
            if left is not None:  # it was shorter than that: broken off at its end
                self._break_off(fault, name)
            if fault and fault.kind == "timeout":
                _time_out(fault, name)
        self._end(fault, name)

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        fault = self._begin("list", prefix)
        for number, info in enumerate(self._bucket.list(prefix)):
            if fault and fault.kind == "partial" and number >= fault.after:
                break
            yield info
        if fault and fault.kind == "partial":
            raise BucketError(f"could not list {self.url}: broken off after {fault.after} objects")
        self._end(fault, prefix)

    def delete(self, name: str, *, if_generation: int | None = None) -> None:
        fault = self._begin("delete", name)
        self._bucket.delete(name, if_generation=if_generation)
        self._end(fault, name, again=ObjectMissing)

    def _begin(self, method: str, name: str) -> BucketFault | None:
        """The fault that this call meets, as far as it comes before the call."""
        with self._guard:
            fault = self._find(method, name)
            self.calls.append(Call(method, name, fault))
        if fault is None:
            return None
        if fault.kind == "kill" and method not in ("open_read", "open_write"):
            _kill()
        if fault.kind == "slow":
            time.sleep(fault.seconds)
        if fault.kind == "error":
            raise BucketError(f"could not {method} {self.url}/{name}: HTTP 503 as was asked for")
        if fault.kind == "timeout" and method != "open_write":
            _time_out(fault, f"{self.url}/{name}")
        return fault

    def _find(self, method: str, name: str) -> BucketFault | None:
        for position, fault in enumerate(self._faults):
            if fault.concerns(method, name):
                self._concerned[position] += 1
                if fault.strikes(self._concerned[position], f"{self._seed}/{position}/{method}"):
                    return fault
        return None

    def _end(
        self, fault: BucketFault | None, name: str, *, again: type[BucketError] = PreconditionFailed
    ) -> None:
        """What comes after a call that was done."""
        if fault is None:
            return
        if fault.kind == "kill_after":
            _kill()
        if fault.kind == "lost":
            raise BucketError(f"{self.url}/{name}: the answer was lost, as was asked for")
        if fault.kind == "duplicate":
            raise again(f"{self.url}/{name}: done, and then refused because of itself, as was asked for")

    @contextmanager
    def _reading(self, fault: BucketFault | None, name: str) -> Iterator[ObjectReader]:
        kind = fault.kind if fault else ""
        if kind == "missing":
            raise ObjectMissing(f"{self.url}/{name} does not exist")
        with self._bucket.open_read(name) as stream:
            if fault is None or kind not in ("partial", "corrupt", "flip", "kill"):
                yield stream
                return
            info = self._bucket.stat(name)
            if info is None:
                raise ObjectMissing(f"{self.url}/{name} does not exist")
            place = min(fault.after, max(0, info.size_bytes - 1))
            if kind in ("corrupt", "flip"):
                flipped = _flipped(stream, place)
                reader: io.RawIOBase = CheckedReader(info, flipped) if kind == "corrupt" else _Reader(flipped)
            else:
                reader = _Reader(self._breaking(fault, name, stream, place))
            yield cast(ObjectReader, reader)

    def _breaking(
        self, fault: BucketFault, name: str, stream: ObjectReader, left: int
    ) -> Callable[[int], bytes]:
        def fetch(size_bytes: int) -> bytes:
            nonlocal left
            if left <= 0:
                self._break_off(fault, name)
            data = stream.read(min(size_bytes, left))
            left -= len(data)
            return data

        return fetch

    def _break_off(self, fault: BucketFault | None, name: str) -> NoReturn:
        assert fault is not None  # noqa: S101 – only called where one was met
        if fault.kind == "kill":
            _kill()
        raise BucketError(f"{self.url}/{name}: broken off after {fault.after} bytes, as was asked for")


class _Reader(io.RawIOBase):
    """Reads through `fetch`, unchecked."""

    def __init__(self, fetch: Callable[[int], bytes]) -> None:
        self._fetch = fetch

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: ReadableBuffer, /) -> int:
        view = memoryview(buffer).cast("B")
        data = self._fetch(len(view))
        view[: len(data)] = data
        return len(data)


def _flipped(stream: Any, place: int) -> Callable[[int], bytes]:
    """Reads `stream` with one bit of its byte `place` flipped."""
    position = 0

    def fetch(size_bytes: int) -> bytes:
        nonlocal position
        data = bytearray(stream.read(size_bytes))
        if position <= place < position + len(data):
            data[place - position] ^= 1
        position += len(data)
        return bytes(data)

    return fetch


def _time_out(fault: BucketFault, place: str) -> NoReturn:
    time.sleep(fault.seconds)
    raise BucketError(f"{place}: no answer within {fault.seconds:g} s, as was asked for")


def _kill() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable: SIGKILL is not survived")
