"""state.json: what runs in which colour, what was live when, and the state that is about to be acted on.

Written to a temporary name, synced, renamed, and the folder synced, before each act: after a kill or a power
cut it says what may have been begun. What is live stands in live/, not here.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .names import COLOURS, PARTS
from .problems import DISK_FULL, NOT_WRITTEN, STATE_DAMAGED

SCHEMA = 1
_KEPT_DEPLOYMENTS = 50


def now() -> str:
    """UTC, to the second, in ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="seconds")


@dataclass(frozen=True)
class Deployed:
    """An image and the release that it says it is."""

    image: str
    release: str


@dataclass(frozen=True)
class Move:
    """One part's way from the colour `before` ("" when none was live) to `colour`."""

    part: str
    image: str
    release: str
    colour: str
    before: str

    @property
    def service(self) -> str:
        """Compose's name of what starts."""
        return f"{self.part}-{self.colour}"


@dataclass(frozen=True)
class Operation:
    """What is being done, or was when somebody pulled the plug.

    Attributes:
        state: one of decisions.STATES; written before what it names is begun.
        release: the release that is to be live; its name is "" until its image was pulled.
        going: the release that was live before, "" when none was.
        ledger: whether the ledger of releases hears of it (not of a frontend, nor of the same release again).
        way: how the database goes back: abandon, switch, reverse, restore; "" when it need not.
        confirmed: the release that goes, as a person named it to agree to a restore.
        failed_step, reason: why it goes back.
    """

    id: str
    command: str
    state: str
    started: str
    release: str = ""
    going: str = ""
    moves: tuple[Move, ...] = ()
    ledger: bool = True
    way: str = ""
    confirmed: str = ""
    failed_step: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Deployment:
    """All that was live together since `at` (UTC), by part."""

    at: str
    parts: Mapping[str, Deployed]


@dataclass(frozen=True)
class State:
    """All of the journal. `deployments`: oldest first. `last`: how the last operation ended, for people."""

    colours: Mapping[str, Mapping[str, Deployed]] = field(default_factory=dict)
    deployments: tuple[Deployment, ...] = ()
    pulled: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    operation: Operation | None = None
    last: Mapping[str, str] = field(default_factory=dict)


class Journal:
    """The file, and its contents as they were last read or written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "state.json"
        self.state = State()

    def load(self) -> State:
        """Read it; an empty one when there is none.

        Raises:
            Problem: rollout.R006 for a file that is not ours to read.
        """
        try:
            self.state = _parse(json.loads(self.path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            self.state = State()
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise STATE_DAMAGED(path=self.path, reason=f"{type(error).__name__}: {error}") from error
        return self.state

    def save(self, **changes: Any) -> State:
        """Write it with `changes`; what is on the disk is the old or the new one, whole.

        Raises:
            Problem: rollout.R008 or rollout.R045; then nothing has changed.
        """
        state = replace(self.state, **changes)
        try:
            write_whole(self.path, json.dumps({"schema": SCHEMA, **asdict(state)}, indent=1) + "\n")
        except OSError as error:
            if error.errno == errno.ENOSPC:
                raise DISK_FULL(what=f"writing {self.path}") from error
            raise NOT_WRITTEN(path=self.path, reason=error.strerror or str(error)) from error
        self.state = state
        return state

    def enter(self, name: str, **changes: Any) -> Operation:
        """Write that the operation is about to do what the state `name` is for."""
        assert self.state.operation is not None  # noqa: S101 – for the type checker; the callers began it
        operation = replace(self.state.operation, state=name, **changes)
        self.save(operation=operation)
        return operation

    def deployed(self, part: str, colour: str) -> Deployed | None:
        """What was last started in the colour."""
        return self.state.colours.get(part, {}).get(colour)

    def with_deployed(self, move: Move) -> dict[str, dict[str, Deployed]]:
        """The colours once `move` is begun."""
        colours = {part: dict(self.state.colours.get(part, {})) for part in PARTS}
        colours[move.part][move.colour] = Deployed(move.image, move.release)
        return colours

    def with_deployment(self, live: Mapping[str, Deployed]) -> tuple[Deployment, ...]:
        """The deployments once `live` is."""
        if self.state.deployments and self.state.deployments[-1].parts == dict(live):
            return self.state.deployments
        return (*self.state.deployments, Deployment(now(), dict(live)))[-_KEPT_DEPLOYMENTS:]


def write_whole(path: Path, text: str) -> None:
    """Put `text` into the file so that no moment and no power cut shows a part of it."""
    temporary = path.with_name(f"{path.name}.new")
    with temporary.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse(data: dict[str, Any]) -> State:
    if data["schema"] != SCHEMA:
        raise ValueError(f"schema {data['schema']!r} is not {SCHEMA}")
    operation = data["operation"]
    if operation:
        moves = tuple(Move(**move) for move in operation.pop("moves"))
        operation = Operation(moves=moves, **operation)
    return State(
        colours={
            part: {colour: Deployed(**there) for colour, there in colours.items() if colour in COLOURS}
            for part, colours in data["colours"].items()
            if part in PARTS
        },
        deployments=tuple(
            Deployment(one["at"], {part: Deployed(**there) for part, there in one["parts"].items()})
            for one in data["deployments"]
        ),
        pulled={part: tuple(images) for part, images in data["pulled"].items()},
        operation=operation,
        last=data["last"],
    )
