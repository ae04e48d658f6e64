"""The instance's own on-demand backup beside one of ours: found by its description, never taken twice."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from deploy.backup.naming import Identity, is_id
from deploy.reporting.findings import Refusal

from .connection import failed
from .operations import Admin, Pace, StillRunningError

PACE = Pace(poll_seconds=5, wait_seconds=900)
# A killed run's backup that began so shortly before the new one's snapshot does for the new one.
ADOPT_SECONDS = 600

_ACTION = "backed up"
_UNFINISHED = ("ENQUEUED", "OVERDUE", "RUNNING")
_WHOLE = "SUCCESSFUL"


@dataclass(frozen=True, slots=True)
class Run:
    """One backup run of the instance (`backupRuns` of the API).

    Attributes:
        moment: UTC; when it began, or was enqueued: every transaction of before is in it.
        ended: UTC, or None while it runs. bytes: what Google charges for at most; 0 while not known.
    """

    id: str
    description: str
    status: str
    moment: datetime
    ended: datetime | None
    location: str
    bytes: int
    problem: str

    @property
    def is_whole(self) -> bool:
        return self.status == _WHOLE

    @property
    def is_unfinished(self) -> bool:
        return self.status in _UNFINISHED

    @classmethod
    def of(cls, resource: dict[str, Any]) -> Run:
        """From the API's resource."""
        began = resource.get("startTime") or resource.get("enqueuedTime") or resource.get("windowStartTime")
        ended = resource.get("endTime")
        error = resource.get("error") or {}
        return cls(
            id=str(resource["id"]),
            description=resource.get("description", ""),
            status=resource.get("status", ""),
            moment=datetime.fromisoformat(began) if began else datetime.now(UTC),
            ended=datetime.fromisoformat(ended) if ended else None,
            location=resource.get("location", ""),
            bytes=int(resource.get("maxChargeableBytes", 0)),
            problem=str(error.get("message") or error.get("code") or ""),
        )


@dataclass(frozen=True, slots=True)
class Taken:
    """What there is beside our backup.

    Attributes:
        operation: its name; empty where a run was found that an earlier call began.
        taken_for: the id of the backup that it was begun for.
    """

    run: Run
    operation: str
    taken_for: str


def description_of(identity: Identity, backup_id: str) -> str:
    """What the instance's backup says of itself: our backup's folder in the bucket."""
    return f"{identity.prefix}{backup_id}"


def taken_for(identity: Identity, run: Run) -> str:
    """The id of the backup of ours that a run was begun for; empty for a run that is not exactly ours."""
    backup_id = run.description.removeprefix(identity.prefix)
    return backup_id if description_of(identity, backup_id) == run.description and is_id(backup_id) else ""


def take(
    admin: Admin,
    identity: Identity,
    backup_id: str,
    created: datetime,
    *,
    exists: Callable[[str], bool],
) -> Taken:
    """Take one, or go on with one that a killed run of ours began, and wait until it is whole.

    Args:
        created: of our snapshot, UTC.
        exists: there is a backup of ours with this id: its run is its own.

    Returns:
        What there is at the end; its run is unfinished when the patience was over first.

    Raises:
        Refusal: deploy.B086 to B088, B090.
    """
    found = _begun(admin, identity, backup_id, created, exists)
    operation = ""
    if found is None:
        request = admin.service.backupRuns().insert(
            project=admin.instance.project,
            instance=admin.instance.name,
            body={"description": description_of(identity, backup_id)},
        )
        operation = admin.begin(
            request,
            _ACTION,
            was_done=lambda: _find(admin, identity, backup_id, created) is not None,
            note="Cloud SQL's backup",
        )
        found = _find(admin, identity, backup_id, created)
    if found is None:
        raise Refusal(failed(admin.instance, _ACTION, f"the operation {operation} lists no backup"))
    run = _wait(admin, found)
    if not (run.is_whole or run.is_unfinished):
        reason = f"its backup {run.id} ended as {run.status}"
        raise Refusal(failed(admin.instance, _ACTION, f"{reason}: {run.problem}" if run.problem else reason))
    return Taken(run, operation, taken_for(identity, run))


def runs_since(admin: Admin, moment: datetime) -> Iterator[Run]:
    """The instance's backup runs that began after `moment`, newest first."""
    runs = admin.service.backupRuns()
    request = runs.list(project=admin.instance.project, instance=admin.instance.name, maxResults=50)
    while request is not None:
        page = admin.read(request, _ACTION)
        for run in map(Run.of, page.get("items", [])):
            if run.moment < moment:
                return
            yield run
        request = runs.list_next(request, page)


def _begun(
    admin: Admin, identity: Identity, backup_id: str, created: datetime, exists: Callable[[str], bool]
) -> Run | None:
    """A run that an earlier call began, for this backup or for one that never came to be."""
    for run in runs_since(admin, created - timedelta(seconds=ADOPT_SECONDS)):
        other = taken_for(identity, run)
        if other and (run.is_whole or run.is_unfinished) and (other == backup_id or not exists(other)):
            return run
    return None


def _find(admin: Admin, identity: Identity, backup_id: str, created: datetime) -> Run | None:
    # The two clocks may differ.
    for run in runs_since(admin, created - timedelta(seconds=ADOPT_SECONDS)):
        if taken_for(identity, run) == backup_id:
            return run
    return None


def _wait(admin: Admin, run: Run) -> Run:
    """Until the run is over, or the patience is."""
    request = admin.service.backupRuns().get(
        project=admin.instance.project, instance=admin.instance.name, id=run.id
    )

    def is_over() -> bool:
        nonlocal run
        run = Run.of(admin.read(request, _ACTION))
        return not run.is_unfinished

    try:
        admin.wait_until(is_over, note=f"Cloud SQL's backup {run.id}")
    except StillRunningError:
        return run
    return run
