"""The deploy lock: one object in the bucket, with owner, heartbeat and expiry.

Whoever creates it (generation 0) or replaces a dead owner's (generation N) holds it; every heartbeat
replaces it again, so a deployer that lost it finds out by a failed precondition. `guard` is the fence: it is
called before each write and lets nothing through that is not covered by a fresh heartbeat.
"""

from __future__ import annotations

import json
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any

from deploy.buckets.base import Bucket, BucketError, ObjectInfo, ObjectMissing, PreconditionFailed
from deploy.buckets.lost_answers import put_surely
from deploy.conf import DeployConf
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.redaction import redact
from deploy.reporting.report import EXIT_LOCKED

from .ledger import LEDGER_UNREACHABLE

LOCK_HELD = FindingType(
    "deploy.L001",
    "error",
    "The deploy lock is held by {owner} for {command} of release {release}, since {since}; "
    "its last heartbeat was {heartbeat:.0f} s ago and it expires in {expires:.0f} s.",
    "Wait for it (--wait-for-lock 600), or look: python manage.py releases lock",
)
LOCK_LOST = FindingType(
    "deploy.L002",
    "error",
    "This deployer lost the deploy lock ({reason}); it stopped before its next write.",
    "See who has it: python manage.py releases lock; then run the same command again.",
)
LOCK_TAKEN_OVER = FindingType(
    "deploy.L003",
    "warning",
    "The lock of {owner} ({command} of release {release}) had expired {ago:.0f} s ago and was taken over.",
    "Look at what that run left: python manage.py releases show {release}",
)

_HEARTBEATS_PER_TTL = 4


def now() -> float:
    """Seconds on a clock that also counts while the machine is suspended (where the system has one)."""
    clock = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
    return time.clock_gettime(clock)


@dataclass(frozen=True, slots=True)
class LockState:
    """What the lock object says. Times are UTC; `age_seconds` is since the last heartbeat; `token` tells one
    holder from any other.
    """

    owner: str
    command: str
    release: str
    since: str
    ttl_seconds: float
    age_seconds: float
    generation: int
    token: str = ""

    @property
    def expires_in_seconds(self) -> float:
        """Negative once it has expired."""
        return self.ttl_seconds - self.age_seconds


def lock_name(conf: DeployConf) -> str:
    """The lock object of the configured project and environment."""
    return f"lock/{conf.project}/{conf.environment}.json"


def read_lock(conf: DeployConf, bucket: Bucket) -> LockState | None:
    """Who holds the lock now, or None."""
    return state_of(bucket, lock_name(conf))


def state_of(bucket: Bucket, name: str) -> LockState | None:
    """Who holds the lock object `name` now, or None. Raises BucketError."""
    while (info := bucket.stat(name)) is not None:
        try:
            raw = json.loads(bucket.read(name))
        except ObjectMissing:
            continue
        except ValueError:
            raw = None
        # A heartbeat between the reads makes a new generation: look again, so that what is told belongs
        # together. Heartbeats are seconds apart, so this ends.
        if (again := bucket.stat(name)) is not None and again.generation == info.generation:
            return _parse(raw if isinstance(raw, dict) else {}, info)
    return None


def _parse(raw: dict[str, Any], info: ObjectInfo) -> LockState:
    # The age comes from the bucket's own clock for the write, so only this machine's clock can be off;
    # preflight checks that one. A lock that cannot be read expires by the default time.
    ttl = raw.get("ttl_seconds")
    return LockState(
        owner=str(raw.get("owner", "unknown")),
        command=str(raw.get("command", "unknown")),
        release=str(raw.get("release", "unknown")),
        since=str(raw.get("since", "unknown")),
        ttl_seconds=float(ttl) if isinstance(ttl, int | float) else 60.0,
        age_seconds=max(0.0, (datetime.now(UTC) - info.updated) / timedelta(seconds=1)),
        generation=info.generation,
        token=str(raw.get("token", "")),
    )


class DeployLock:
    """Held inside `with`; `guard` is handed to everything that writes.

    `wait_seconds` is how long it waits for any holder, `own_kind_seconds` for one that runs the same command.

    Raises (on entering):
        Refusal: deploy.L001 with exit code 75 when another deployer holds it.
    """

    def __init__(
        self,
        conf: DeployConf,
        bucket: Bucket,
        *,
        command: str,
        release: str,
        wait_seconds: float = 0,
        own_kind_seconds: float = 0,
        on_takeover: Callable[[LockState], None] = lambda _: None,
    ) -> None:
        self._conf = conf
        self._bucket = bucket
        self._name = lock_name(conf)
        self._ttl = conf.lock_ttl_seconds
        self._wait = wait_seconds
        self._own_kind_wait = own_kind_seconds
        self._on_takeover = on_takeover
        self._content = {
            "owner": redact(conf.owner),
            "command": command,
            "release": release,
            "since": datetime.now(UTC).isoformat(timespec="seconds"),
            "ttl_seconds": self._ttl,
            "token": uuid.uuid4().hex,
        }
        self._generation = 0
        self._fresh_until = 0.0
        self._lost = ""
        self._left = False
        self._busy = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> DeployLock:
        began = now()
        while not self._acquire():
            state = state_of(self._bucket, self._name)
            if state is None or state.expires_in_seconds <= 0:
                continue
            is_own_kind = state.command == self._content["command"]
            deadline = began + max(self._wait, self._own_kind_wait if is_own_kind else 0)
            if now() >= deadline:
                raise Refusal(
                    LOCK_HELD(
                        owner=state.owner,
                        command=state.command,
                        release=state.release,
                        since=state.since,
                        heartbeat=state.age_seconds,
                        expires=max(0.0, state.expires_in_seconds),
                    ),
                    exit_code=EXIT_LOCKED,
                )
            time.sleep(min(1.0, max(0.05, deadline - now()), max(0.05, state.expires_in_seconds)))
        self._thread = threading.Thread(target=self._beat, name="deploy-lock-heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        if self._thread:
            self._thread.join()
        with self._busy:
            if self._lost or self._left:
                return
            try:
                try:
                    self._bucket.delete(self._name, if_generation=self._generation)
                except PreconditionFailed:
                    self._bucket.delete(self._name, if_generation=self._own_generation())
            except (ObjectMissing, PreconditionFailed):
                self._lost = "another deployer took it over"
            except BucketError:
                # It expires by itself; an error here must not hide the outcome of the work.
                self._lost = "the bucket did not answer"

    @property
    def token(self) -> str:
        """What tells this holder from any other, and lets its helpers join (`deploy.releases.joined`)."""
        return str(self._content["token"])

    def leave(self) -> None:
        """Do not give the lock back at the end of the block: it expires by itself, one time to live later."""
        self._left = True

    def guard(self) -> None:
        """Let a write through only while the lock is surely ours.

        A heartbeat younger than half the time to live is proof; an older one is renewed first.

        Raises:
            Refusal: deploy.L002, exit code 75.
        """
        with self._busy:
            if not self._lost and now() > self._fresh_until - self._ttl / 2:
                self._renew()
                # A heartbeat that did not get through is no loss yet; one that is nearly over is no proof.
                if not self._lost and now() > self._fresh_until - self._ttl / 8:
                    self._lost = "its heartbeats do not get through to the bucket"
            if self._lost:
                raise Refusal(LOCK_LOST(reason=self._lost), exit_code=EXIT_LOCKED)

    def _acquire(self) -> bool:
        sent = now()
        try:
            state = state_of(self._bucket, self._name)
            if state is not None and state.expires_in_seconds > 0:
                return False
            info = self._put(state.generation if state else 0)
        except PreconditionFailed:
            return False
        except BucketError as error:
            raise Refusal(LEDGER_UNREACHABLE(url=self._bucket.url, action="locked", reason=error)) from error
        self._generation = info.generation
        self._fresh_until = sent + self._ttl
        if state is not None:
            try:
                self._on_takeover(state)
            except BaseException:
                self.__exit__(None, None, None)  # what can't be recorded is not held for a whole time to live
                raise
        return True

    def _put(self, generation: int) -> ObjectInfo:
        body = json.dumps({**self._content, "heartbeat": datetime.now(UTC).isoformat()}).encode()
        return put_surely(
            self._bucket, self._name, body, if_generation=generation, content_type="application/json"
        )

    def _renew(self) -> None:
        """Write a heartbeat; called with `_busy` held. Fresh from the moment *before* the request."""
        sent = now()
        try:
            try:
                self._generation = self._put(self._generation).generation
            except PreconditionFailed:
                self._generation = self._put(self._own_generation()).generation
            self._fresh_until = sent + self._ttl
        except PreconditionFailed:
            self._lost = "another deployer took it over"
        except BucketError as error:
            if sent >= self._fresh_until:
                self._lost = redact(f"no heartbeat got through before it expired: {error}")

    def _own_generation(self) -> int:
        """The lock's, when a heartbeat of ours got there and neither it nor the look for it was answered.

        Raises:
            PreconditionFailed: it is not ours.
        """
        state = state_of(self._bucket, self._name)
        if state is None or state.token != self._content["token"]:
            raise PreconditionFailed(f"{self._name} is another deployer's")
        return state.generation

    def _beat(self) -> None:
        while not self._stop.wait(self._ttl / _HEARTBEATS_PER_TTL):
            with self._busy:
                if self._lost:
                    return
                self._renew()
