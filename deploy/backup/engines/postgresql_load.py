"""pg_restore, run for an archive that lies on the local disk or is piped in from the bucket."""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING

from django.db import connections

from deploy.backup.findings import RESTORE_FAILED
from deploy.backup.findings_of_restore import DISK_FULL, EXTENSION_MISSING, EXTENSION_REFUSED, ROLE_MISSING
from deploy.backup.manifest import Part
from deploy.backup.spool import spooled
from deploy.conf import DeployConf
from deploy.databases.child_process import ClientProgram, running
from deploy.databases.client_tools import Tool, libpq_environment, role_options
from deploy.databases.postgresql import identifier
from deploy.reporting.findings import Finding, Refusal

if TYPE_CHECKING:
    from deploy.backup.restore import Saved

# The table of contents is at the beginning of an archive; this is enough for some 100,000 objects.
_HEAD_FRAMES = 64


@dataclass(slots=True)
class Loader:
    """Runs of pg_restore that bring one backup into the database `name`.

    Attributes:
        jobs: connections of a run that may have several.
        paths: of the archives that lie on the local disk, by file name; the others are piped.
        options: for every run that loads.
        owners: objects keep those that they had, which only a superuser can give them.
        choices: by file name of an archive, a file with the lines of its listing that are loaded, if not all.
        began: of the whole work, as of time.monotonic().
    """

    conf: DeployConf
    tool: Tool
    saved: Saved
    name: str
    jobs: int = 1
    began: float = 0.0
    options: tuple[str, ...] = ()
    owners: bool = False
    paths: dict[str, str] = field(default_factory=dict)
    choices: dict[str, str] = field(default_factory=dict)
    _programs: set[ClientProgram] = field(default_factory=set)
    _stopped: threading.Event = field(default_factory=threading.Event)

    def load(self, part: Part, *arguments: str, jobs: int = 1) -> None:
        """Bring what `arguments` choose of one archive into the database. Raises Refusal, exit code 1."""
        from psycopg.conninfo import make_conninfo

        settings = connections[self.conf.database].settings_dict
        path, choice = self.paths.get(part.file), self.choices.get(part.file)
        argv = [
            *self._argv(),
            "--exit-on-error",
            *([] if self.owners else ["--no-owner"]),
            "--no-password",
            # A restored subscription would compete with the live one, and its database can't be dropped.
            "--no-subscriptions",
            *role_options(settings),
            *self.options,
            *arguments,
            *([f"--use-list={choice}"] if choice else []),
            *([f"--jobs={jobs}"] if path and jobs > 1 else []),
            f"--dbname={make_conninfo(dbname=self.name)}",
        ]
        with self._run([*argv, path] if path else argv, stdin=not path) as program:
            if not path:
                self._feed(program, part)
            if program.finish() != 0 and not self._stopped.is_set():
                raise Refusal(self.why(program.reason), exit_code=1)

    def listing(self, part: Part) -> list[str]:
        """The lines of `pg_restore --list`. Raises Refusal, exit code 1."""
        with self._seekable(part) as path:
            return self._said(["--list", path]).splitlines()

    def script(self, part: Part, entries: list[str]) -> str:
        """The SQL of entries without data, given as lines of the listing. Raises Refusal, exit code 1."""
        with self._seekable(part) as path, spooled([f"{line}\n".encode() for line in entries]) as choice:
            return self._said([f"--use-list={choice}", "--no-owner", "--file=-", path])

    def stop(self) -> None:
        """End whatever is running in other threads."""
        self._stopped.set()
        for program in tuple(self._programs):
            program.end()

    @contextmanager
    def _seekable(self, part: Part) -> Iterator[str]:
        """The archive as a file, or of one that is piped its beginning, with the table of contents."""
        if path := self.paths.get(part.file):
            yield path
            return
        with (
            self.saved.open(part, told=False) as raw,
            spooled(islice(raw, _HEAD_FRAMES)) as head,
        ):
            yield head

    def _said(self, arguments: Sequence[str]) -> str:
        with self._run([*self._argv(), *arguments], stdout=True) as program:
            text = program.stdout.read().decode()
            if program.finish() != 0:
                raise Refusal(self.why(program.reason), exit_code=1)
        return text

    def _argv(self) -> list[str]:
        return [str(self.tool.path), "--format=custom"]

    @contextmanager
    def _run(
        self, argv: Sequence[str], *, stdin: bool = False, stdout: bool = False
    ) -> Iterator[ClientProgram]:
        environment = libpq_environment(connections[self.conf.database].settings_dict, name=self.name)
        # Of SIGKILL only the leader of several jobs would die: its workers would go on to the end of their
        # tables. By SIGTERM it ends them, and has the server cancel what they asked for.
        with running(
            argv, environment=environment, stdin=stdin, stdout=stdout, orphaned=signal.SIGTERM
        ) as program:
            self._programs.add(program)
            if self._stopped.is_set():  # `stop` has gone through the programs before this one was among them
                program.end()
            try:
                yield program
            finally:
                self._programs.discard(program)

    def _feed(self, program: ClientProgram, part: Part) -> None:
        with self.saved.open(part, told=False) as raw:
            for piece in raw:
                # It has stopped early when it refuses more; the archive is read to its end all the same,
                # because a damaged one is the better explanation of the two.
                with suppress(BrokenPipeError):
                    program.stdin.write(piece)
        with suppress(BrokenPipeError):
            program.stdin.close()

    def why(self, reason: str) -> Finding:
        """The finding for what pg_restore said last. It says it in the server's language: elsewhere than in
        English it is quoted in the general one.
        """
        manifest = self.saved.manifest
        if "No space left on device" in reason:
            return DISK_FULL(id=manifest.id, database=self.name, reason=reason)
        if found := re.search(r'permission denied to create extension "([^"]+)"', reason):
            alias = self.conf.database
            role = connections[alias].settings_dict["USER"]
            return EXTENSION_REFUSED(
                id=manifest.id, name=found[1], role=role, quoted=identifier(role), alias=alias
            )
        if found := re.search(r'extension "([^"]+)" is not available', reason):
            return EXTENSION_MISSING(id=manifest.id, name=found[1], major=self.tool.major, package=found[1])
        if found := re.search(r'role "(.+)" does not exist', reason):
            return ROLE_MISSING(id=manifest.id, role=found[1], quoted=identifier(found[1]))
        return RESTORE_FAILED(tool=self.tool.path.name, id=manifest.id, database=self.name, reason=reason)
