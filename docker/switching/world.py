"""Everything a command works with, and what several of them ask of it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from .engine import Engine, image_variables
from .jobs import Jobs
from .journal import Deployed, Journal, Move, write_whole
from .live import Live
from .machine_lock import MachineLock
from .names import PARTS, other
from .output import Reporter
from .problems import NOT_USABLE
from .processes import Programs
from .settings import Settings
from .signals import Signals


@dataclass
class World:
    """One run on one machine."""

    settings: Settings
    signals: Signals
    reporter: Reporter
    programs: Programs
    journal: Journal
    live: Live
    engine: Engine
    jobs: Jobs
    lock: MachineLock

    @classmethod
    def open(cls, settings: Settings, signals: Signals, reporter: Reporter) -> World:
        """Make the state's folders; nothing else is read or written yet.

        Raises:
            Problem: rollout.R002 for a state folder that can't be written.
        """
        folder = settings.rollout_folder
        try:
            folder.mkdir(mode=0o755, parents=True, exist_ok=True)
            live = Live(settings.state / "live")
            live.prepare()
        except OSError as error:
            raise NOT_USABLE(
                what="The state folder",
                value=str(settings.state),
                reason=error.strerror or "it can't be made",
                hint=f"install -d {settings.state}; or as root",
            ) from error
        programs = Programs(settings.files[0].parent, settings.environment)
        engine = Engine(settings, programs)
        journal = Journal(folder)
        jobs = Jobs(engine, journal, reporter)
        return cls(settings, signals, reporter, programs, journal, live, engine, jobs, MachineLock(folder))

    def begin(self) -> None:
        """Take the machine's lock and read the journal.

        Raises:
            Problem: rollout.R010 (75), rollout.R006.
        """
        self.lock.take()
        self.journal.load()

    def alone(self) -> None:
        """Stop what a killed rollout left in containers, and wait until its programs have ended.

        Raises:
            Problem: rollout.R012 (75).
        """
        if self.lock.children is None:
            self.jobs.leftovers()
            self.programs.children = self.lock.take_children(self.settings.limits.docker)

    def live_now(self) -> dict[str, Deployed]:
        """What gets requests, by part."""
        found = {}
        for part in PARTS:
            there = self.journal.deployed(part, self.live.colour(part))
            if there:
                found[part] = there
        return found

    def plan_move(self, part: str, image: str, release: str) -> Move:
        """The part's way into the colour that is idle."""
        before = self.live.colour(part)
        return Move(part, image, release, other(before), before)

    def images(self, job: str = "") -> Mapping[str, str]:
        """The variables of the compose files; also written to images.env, for people who call Compose."""
        live = self.live_now().get("backend")
        variables = image_variables(self.journal.state.colours, job or (live.image if live else ""))
        text = "".join(f"{name}={value}\n" for name, value in sorted(variables.items()))
        with suppress(OSError):  # only people read it, and the way back must not wait for a disk that is full
            write_whole(
                self.settings.rollout_folder / "images.env",
                "# Written by rollout. docker compose --env-file .env --env-file this …\n" + text,
            )
        return variables

    def ensure_base(self) -> None:
        """Start the proxies that are not there; one that runs is left alone, whatever its settings are.

        Raises:
            Problem: rollout.R007.
        """
        missing = [
            service
            for service in self.settings.base
            if not any(container.running for container in self.engine.containers(service))
        ]
        if missing:
            self.engine.up(missing, self.images(), recreate=False)

    def ensure_live(self) -> list[str]:
        """Start what should be live and does not run; the services that were started.

        Raises:
            Problem: rollout.R007.
        """
        missing = []
        for part in self.live_now():
            service = f"{part}-{self.live.colour(part)}"
            if not any(container.running for container in self.engine.containers(service)):
                missing.append(service)
        for service in missing:
            part, _, colour = service.rpartition("-")
            there = self.journal.deployed(part, colour)
            if not (there and self.engine.start_again(service, there.image)):
                self.engine.up([service], self.images())
        return missing
