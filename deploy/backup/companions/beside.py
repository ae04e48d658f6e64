"""Keep companions beside the archives, in a thread: as near to the database's snapshot as they can be."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from types import TracebackType

from django.db import connections

from deploy.backup.manifest import Companion
from deploy.buckets.base import BucketError
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import Silent, Step

from . import Abandoned, Folder, Keeper

_log = logging.getLogger(__name__)

COMPANION_FAILED = FindingType(
    "deploy.B117",
    "error",
    "The backup holds the database without its companion {companion}, which failed with {kind} in {where}.",
    "See the whole error: let the logger deploy.backup.companions.beside log at the level DEBUG, then: "
    "python manage.py backupdb",
    why="What is kept beside the database must never cost the backup of the database itself.",
)


class Beside:
    """Runs `keepers` one after another. As a context manager it stops them when its block fails.

    What a keeper raises unexpectedly is a finding (deploy.B117), and the companion's state is `failed`. The
    backup stops only at a Refusal, at an error of its own bucket and at what `guard` raises.

    Call `start` when the snapshot is there, `release` before it ends, `finish` for what was kept. The step
    gets the keepers' findings; their progress shows once the archives have none of their own.
    """

    def __init__(self, keepers: Sequence[Keeper], step: Step) -> None:
        self._keepers = keepers
        self._step = step
        self._forward = _Forward(step)
        self._own_step = Step(step.name, _listener=self._forward)
        self._kept: list[Companion] = []
        self._failed: BaseException | None = None
        # Those that read the snapshot come first; the others must not keep it open.
        self._readers = max((n for n, one in enumerate(keepers, 1) if _reads_snapshot(one)), default=0)
        self._released = threading.Event()
        self._thread: threading.Thread | None = None
        self._stop: Callable[[], None] = lambda: None
        self._stopped = threading.Event()
        self._guarded = _Guarded(lambda: None)

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        cause = self._failed  # read before they are stopped
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
        if cause is not None and cause is not error and isinstance(error, Exception):
            raise cause from None  # the dump failed because it was stopped

    def start(self, folder: Folder, *, stop: Callable[[], None] = lambda: None) -> None:
        """Begin, with the snapshot that the dump reads in `folder`.

        Args:
            stop: ends the dump, whatever thread calls it; called when the backup can't go on.
        """
        self._stop = stop
        self._stopped, self._guarded = folder.stopped, _Guarded(folder.guard)
        folder = replace(folder, guard=self._guarded)
        self._thread = threading.Thread(
            target=self._run, args=(folder,), name="backup-companions", daemon=True
        )
        self._thread.start()

    def release(self) -> None:
        """Wait for those that read the snapshot. Raises what one of them has raised."""
        self._released.wait()
        self._forward.enabled = True
        if self._failed is not None:
            raise self._failed

    def finish(self) -> tuple[Companion, ...]:
        """Wait for all of them. Raises what one of them has raised."""
        if self._thread is not None:
            self._thread.join()
        if self._failed is not None:
            raise self._failed
        self._step.extend(self._own_step.findings)
        self._step.facts.update(self._own_step.facts)
        return tuple(self._kept)

    def _run(self, folder: Folder) -> None:
        try:
            for number, keeper in enumerate(self._keepers):
                if number == self._readers:
                    self._released.set()
                    folder = replace(folder, snapshot="")
                self._kept.append(self._keep(keeper, folder))
        except BaseException as error:  # noqa: BLE001 – raised again by whoever waits
            self._failed = error
            self._stop()
        finally:
            self._released.set()
            connections.close_all()  # this thread's own

    def _keep(self, keeper: Keeper, folder: Folder) -> Companion:
        moment = datetime.now(UTC)
        try:
            return keeper.keep(folder, self._own_step)
        except (Refusal, BucketError, Abandoned):
            raise
        except Exception as error:
            if self._guarded.raised is not None:
                raise
            _log.debug("the companion %s failed", keeper.kind, exc_info=True)
            kind = type(error).__name__
            # Not the error's text: it may hold anything, and the manifest is not encrypted.
            self._own_step.add(
                COMPANION_FAILED(companion=keeper.kind, kind=kind, where=_where(error), place=keeper.kind)
            )
            return Companion(keeper.kind, moment, None, {"state": "failed", "reason": kind})


class _Guarded:
    """The guard, remembering that it has said no."""

    def __init__(self, guard: Callable[[], None]) -> None:
        self._guard = guard
        self.raised: BaseException | None = None

    def __call__(self) -> None:
        try:
            self._guard()
        except BaseException as error:
            self.raised = error
            raise


def _where(error: BaseException) -> str:
    """The innermost function: the module and the line."""
    trace = error.__traceback__
    if trace is None:
        return "an unknown place"
    while trace.tb_next is not None:
        trace = trace.tb_next
    return f"{trace.tb_frame.f_globals.get('__name__', '?')}:{trace.tb_lineno}"


def _reads_snapshot(keeper: Keeper) -> bool:
    return bool(getattr(keeper, "reads_snapshot", False))


class _Forward(Silent):
    """Shows the progress of the keepers' step as that of the whole one, once it is enabled."""

    def __init__(self, step: Step) -> None:
        self._step = step
        self.enabled = False

    def step_progress(self, step: Step) -> None:
        if self.enabled:
            self._step.progress(step.done, step.total, unit=step.unit, note=step.note)
