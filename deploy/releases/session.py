"""What every command of a deploy works with: configuration, buckets, ledger, and the release's identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

from deploy.buckets import open_bucket
from deploy.buckets.base import Bucket
from deploy.conf import NAME, RELEASE_INVALID, DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Report, Step

from .history import TAKEOVER
from .identity import Identity, identify
from .joined import JoinedLock
from .ledger import Ledger, open_ledger
from .lock import LOCK_TAKEN_OVER, DeployLock, LockState

Guard = Callable[[], None]


@dataclass(frozen=True)
class Session:
    """One command's view of the world. `identity` is the release that this process is."""

    conf: DeployConf
    bucket: Bucket
    static_bucket: Bucket
    ledger: Ledger
    identity: Identity

    @classmethod
    def open(cls, conf: DeployConf, *, release: str = "") -> Session:
        """Nothing is sent or written yet.

        Raises:
            Refusal: deploy.C006 for a release name that is not usable, deploy.K001.
        """
        identity = identify(conf)
        if release:
            if not NAME.match(release):
                raise Refusal(
                    RELEASE_INVALID(
                        release=release, reason="only letters, digits, '.', '_' and '-', 100 at most"
                    )
                )
            identity = Identity(release, identity.commit if release == identity.name else "")
        bucket = open_bucket(conf.bucket)
        return cls(conf, bucket, open_bucket(conf.static_bucket), open_ledger(conf, bucket), identity)

    @contextmanager
    def locked(
        self, report: Report, command: str, *, wait_seconds: float = 0, own_kind_seconds: float = 0
    ) -> Iterator[Guard]:
        """Hold the deploy lock for the block; yields the guard that every write of the block must pass.

        Getting it is a step of `report`; a takeover is recorded there and in the ledger. `wait_seconds` is
        for any holder, `own_kind_seconds` for one that runs the same command. With `DEPLOY_LOCK_TOKEN` the
        lock that `releases hold` holds is joined instead.

        Raises:
            Refusal: deploy.L001 with exit code 75 when another deployer holds it; deploy.L063, L064 (75)
                when there is nothing to join.
        """
        if self.conf.lock_token:
            with report.step("lock") as step:
                joined = JoinedLock(self.conf, self.bucket, token=self.conf.lock_token)
                step.facts["joined"] = joined.join().owner
            yield joined.guard
            return
        with self.holding(
            report, command, wait_seconds=wait_seconds, own_kind_seconds=own_kind_seconds
        ) as lock:
            yield lock.guard

    @contextmanager
    def holding(
        self, report: Report, command: str, *, wait_seconds: float = 0, own_kind_seconds: float = 0
    ) -> Iterator[DeployLock]:
        """`locked`, with the lock itself, and never somebody else's.

        Raises:
            Refusal: deploy.L001 with exit code 75 when another deployer holds it.
        """
        with ExitStack() as stack:
            with report.step("lock") as step:
                lock = DeployLock(
                    self.conf,
                    self.bucket,
                    command=command,
                    release=self.identity.name,
                    wait_seconds=wait_seconds,
                    own_kind_seconds=own_kind_seconds,
                    on_takeover=lambda state: self._taken_over(state, step),
                )
                stack.enter_context(lock)
                step.facts["owner"] = self.conf.owner
            yield lock

    def _taken_over(self, state: LockState, step: Step) -> None:
        self.ledger.append(
            TAKEOVER,
            self.identity.name,
            {"owner": state.owner, "command": state.command, "release": state.release},
        )
        step.add(
            LOCK_TAKEN_OVER(
                owner=state.owner,
                command=state.command,
                release=state.release,
                ago=-state.expires_in_seconds,
            )
        )
