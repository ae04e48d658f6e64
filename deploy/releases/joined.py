"""Joining a deploy lock that another process holds: `releases hold` beats for it, we only look.

A rollout is one owner and several processes (predeploy, rollback, postdeploy in containers of their own).
They get the lock's token, and it holds for them while its object has that token and a fresh heartbeat.
"""

from __future__ import annotations

import threading

from deploy.buckets.base import Bucket, BucketError
from deploy.conf import DeployConf
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.redaction import redact
from deploy.reporting.report import EXIT_LOCKED

from .ledger import LEDGER_UNREACHABLE
from .lock import LOCK_LOST, LockState, lock_name, now, state_of

NOT_JOINED = FindingType(
    "deploy.L063",
    "error",
    "DEPLOY_LOCK_TOKEN is not the token of the deploy lock: {reason}.",
    "See who has it: python manage.py releases lock; unset DEPLOY_LOCK_TOKEN to take the lock yourself.",
)
JOINED_EXPIRED = FindingType(
    "deploy.L064",
    "error",
    "The deploy lock that DEPLOY_LOCK_TOKEN names has had no heartbeat for {age:.0f} s; "
    "its holder ({owner}) is gone.",
    "Start the rollout again; it takes the lock over once it has expired.",
)


class JoinedLock:
    """`guard` is as strong as the holder's own: a heartbeat younger than half the time to live, or no write.

    A look is good until the heartbeat that it has seen is half the time to live old; then it looks again. The
    age is by the bucket's clock for the write and this machine's for now, as for whoever would take it over.
    """

    def __init__(self, conf: DeployConf, bucket: Bucket, *, token: str) -> None:
        self._bucket = bucket
        self._name = lock_name(conf)
        self._token = token
        self._ttl = 0.0
        self._fresh_until = 0.0
        self._lost = ""
        self._busy = threading.Lock()

    def join(self) -> LockState:
        """Look for the lock.

        Raises:
            Refusal: deploy.L063 when it is not there or another's, L064 when it has expired (exit code 75);
                deploy.L011 (2).
        """
        try:
            state = self._look()
        except BucketError as error:
            raise Refusal(LEDGER_UNREACHABLE(url=self._bucket.url, action="read", reason=error)) from error
        if state is None:
            raise Refusal(NOT_JOINED(reason="nobody holds it"), exit_code=EXIT_LOCKED)
        if state.token != self._token:
            holder = f"it is held by {state.owner} for {state.command} of release {state.release}"
            raise Refusal(NOT_JOINED(reason=holder), exit_code=EXIT_LOCKED)
        if not self._is_proved():
            raise Refusal(JOINED_EXPIRED(age=state.age_seconds, owner=state.owner), exit_code=EXIT_LOCKED)
        return state

    def guard(self) -> None:
        """Let a write through only while the lock is surely that of our holder.

        Raises:
            Refusal: deploy.L002, exit code 75.
        """
        with self._busy:
            if not self._lost and now() > self._fresh_until - self._ttl / 2:
                self._look_again()
            if self._lost:
                raise Refusal(LOCK_LOST(reason=self._lost), exit_code=EXIT_LOCKED)

    def _look_again(self) -> None:
        unheard = ""
        try:
            state = self._look()
        except BucketError as error:
            unheard = redact(f": {error}")
        else:
            if state is None:
                self._lost = "its holder has given it back"
            elif state.token != self._token:
                self._lost = "another deployer took it over"
        if not self._lost and not self._is_proved():
            self._lost = f"no heartbeat of its holder was seen for too long{unheard}"

    def _look(self) -> LockState | None:
        looked = now()
        state = state_of(self._bucket, self._name)
        if state is not None and state.token == self._token:
            self._ttl = state.ttl_seconds
            self._fresh_until = looked + state.expires_in_seconds
        return state

    def _is_proved(self) -> bool:
        """An answer that was long on its way, or no answer, may leave too little time for a write."""
        return now() <= self._fresh_until - self._ttl / 8
