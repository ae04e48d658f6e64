"""Keep companions beside the archives, in a thread: as near to the database's snapshot as they can be."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType

from django.db import connections

from deploy.backup.manifest import Companion
from deploy.reporting.report import Silent, Step

from . import Folder, Keeper


class Beside:
    """Runs `keepers` one after another. As a context manager it stops them when its block fails.

    Call `start` when the snapshot is there, `release` before it ends, `finish` for what was kept. The step
    gets the keepers' findings; their progress shows once the archives have none of their own.
    """

    def __init__(self, keepers: Sequence[Keeper], folder: Folder, step: Step) -> None:
        self._keepers = keepers
        self._folder = folder
        self._step = step
        self._forward = _Forward(step)
        self._own_step = Step(step.name, _listener=self._forward)
        self._kept: list[Companion] = []
        self._failed: BaseException | None = None
        # Those that read the snapshot come first; the others must not keep it open.
        self._readers = max((n for n, one in enumerate(keepers, 1) if _reads_snapshot(one)), default=0)
        self._released = threading.Event()
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Beside:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._folder.stopped.set()
        if self._thread is not None:
            self._thread.join()

    def start(self, snapshot: str) -> None:
        """Begin, with what lets another connection read the dump's snapshot."""
        folder = replace(self._folder, snapshot=snapshot)
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
                self._kept.append(keeper.keep(folder, self._own_step))
        except BaseException as error:  # noqa: BLE001 – raised again by whoever waits
            self._failed = error
        finally:
            self._released.set()
            connections.close_all()  # this thread's own


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
