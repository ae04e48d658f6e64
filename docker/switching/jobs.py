"""The commands of `deploy`, each in a one-shot container (Compose's service `job`) of a release's image."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from .engine import JOB_NAMES, Engine, image_variables
from .journal import Journal
from .output import Reporter
from .problems import DISK_FULL, EXIT_LOCKED, EXIT_REFUSED, EXIT_USAGE, JOB_FAILED, LOCKED
from .processes import Done, end

# Who deploys, for the lock and the ledger, when the caller says so.
_HANDED_ON = ("GITHUB_RUN_ID", "GITHUB_ACTOR", "GITHUB_REPOSITORY")


@dataclass(frozen=True)
class JobResult:
    """A job that ended. `report` is its JSON document, when it was asked for and has one."""

    done: Done
    report: Mapping[str, Any]

    def step(self, name: str) -> Mapping[str, Any]:
        """The facts of the report's step, empty when there is none."""
        for step in self.report.get("steps", []):
            if step.get("name") == name:
                return dict(step.get("facts") or {})
        return {}

    @property
    def reason(self) -> str:
        """Its first error, or its last line."""
        for step in self.report.get("steps", []):
            for finding in step.get("findings", []):
                if finding.get("level") == "error":
                    return f"{finding.get('id')} {finding.get('message')}"
        return self.done.last


class Jobs:
    """Runs them. While the deploy lock is held, each joins it by the token in its environment."""

    def __init__(self, engine: Engine, journal: Journal, reporter: Reporter) -> None:
        self.engine = engine
        self.journal = journal
        self.reporter = reporter
        self.token = ""
        self._holder: subprocess.Popen[str] | None = None
        self._count = 0

    def run(
        self, image: str, arguments: Sequence[str], *, seconds: float, hint: str = "", must: bool = True
    ) -> JobResult:
        """Run a command to its end; its lines are passed through.

        Raises:
            Problem: rollout.R022 when it fails and it `must` not, rollout.R011 (75), rollout.R008.
        """
        form = {"text": "plain"}.get(self.reporter.form, self.reporter.form)
        say = None if form == "json" else self.reporter.job_line
        result = self._run(image, [*arguments, "--format", form], seconds, say)
        if must:
            self.require(result, arguments[0], seconds, hint)
        return result

    def ask(self, image: str, arguments: Sequence[str], *, seconds: float) -> JobResult:
        """Run a command whose answer is for us: JSON, and nothing is shown of it."""
        return self._run(image, [*arguments, "--format", "json"], seconds, None)

    def require(self, result: JobResult, name: str, seconds: float, hint: str = "") -> None:
        """Raises:
        Problem: what a job that did not end with 0 means.
        """
        done = result.done
        if done.ok:
            return
        if done.code == EXIT_LOCKED:
            raise LOCKED(evidence=done.tail[-5:])
        if done.disk_full:
            raise DISK_FULL(what=name, evidence=done.tail[-5:])
        code = f"none within {seconds:g} s" if done.timed_out else str(done.code)
        # A person has read its lines; where nobody follows along, the last of them are the evidence.
        said = () if self.reporter.form == "text" else done.tail[-15:]
        if result.report:
            said = (result.reason,)
        problem = JOB_FAILED(job=name, code=code, hint=hint or self.by_hand(name), evidence=said)
        problem.exit_code = EXIT_USAGE if done.code == EXIT_USAGE else EXIT_REFUSED
        raise problem

    def by_hand(self, command: str) -> str:
        """The line that runs a command of `deploy` in the release that is live."""
        environment = self.engine.settings.rollout_folder / "images.env"
        compose = " ".join(self.engine.settings.compose)
        files = " ".join(f"-f {path}" for path in self.engine.settings.files)
        return (
            f"env $(grep -v '^#' {environment}) {compose} {files} -p {self.engine.settings.project} "
            f"run --rm --no-deps job {command}"
        )

    def leftovers(self) -> list[str]:
        """Stop the one-shot containers of a rollout that was killed; their names."""
        jobs = self.engine.jobs()
        for job in jobs:
            if job.running:
                self.engine.stop(job.id, 30)
            self.engine.docker("rm", "-f", job.id)
        return [job.name for job in jobs]

    @contextmanager
    def deploy_lock(self, image: str, release: str, *, wait_seconds: float) -> Iterator[None]:
        """Hold the bucket's deploy lock for the block, by a job that stays until it is told to release it.

        Raises:
            Problem: rollout.R011 (75) when somebody else has it; rollout.R022.
        """
        arguments = [
            "releases",
            "hold",
            "--command",
            self.reporter.command,
            "--wait-for-lock",
            f"{wait_seconds:g}",
        ]
        arguments += ["--release", release] if release else []
        name = self._name("hold")
        process = self.engine.programs.start(
            self.engine.job_argv(name, self._variables(), arguments),
            stdin=subprocess.PIPE,
            more={**self._images(image), **self._values()},
        )
        tail: list[str] = []
        _drain_errors(process, tail)
        try:
            limit = self.engine.settings.limits.job + wait_seconds
            self.token = self._read_token(process, tail, limit)
            self._holder = process
            yield
        finally:
            self._holder, self.token = None, ""
            self._let_go(process, name)

    def check_lock(self) -> None:
        """Raises:
        Problem: rollout.R011 when the deploy lock was held and is lost.
        """
        if self._holder is not None and self._holder.poll() is not None:
            raise LOCKED()

    def _read_token(self, process: subprocess.Popen[str], tail: list[str], seconds: float) -> str:
        found: list[str] = []

        def read() -> None:
            assert process.stdout is not None  # noqa: S101 – for the type checker; it is a pipe
            for line in process.stdout:
                with suppress(ValueError, TypeError, KeyError):  # a line of Compose's own
                    if not found:
                        found.append(str(json.loads(line)["token"]))

        reader = threading.Thread(target=read, daemon=True)
        reader.start()
        until = time.monotonic() + seconds
        while not found and reader.is_alive() and time.monotonic() < until:
            reader.join(0.05)
        if found:
            return found[0]
        timed_out = reader.is_alive()
        if not timed_out:
            with suppress(subprocess.TimeoutExpired):  # its output is closed: it is ending
                process.wait(10)
        code = process.poll()
        if code == EXIT_LOCKED:
            raise LOCKED(evidence=tuple(tail[-5:]))
        shown = f"none within {seconds:g} s" if timed_out else str(code)
        raise JOB_FAILED(
            job="releases hold", code=shown, hint=self.by_hand("preflight"), evidence=tuple(tail[-15:])
        )

    def _let_go(self, process: subprocess.Popen[str], name: str) -> None:
        assert process.stdin is not None  # noqa: S101 – for the type checker; it is a pipe
        with suppress(OSError):  # it has ended already
            process.stdin.write("release\n")
            process.stdin.flush()
        with suppress(OSError):
            process.stdin.close()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            self.engine.stop(name, 5)
            end(process)

    def _run(self, image: str, arguments: Sequence[str], seconds: float, say: Any) -> JobResult:
        self.check_lock()
        done = self.engine.run_job(
            self._name(arguments[0]),
            arguments,
            variables=self._values(image),
            images=self._images(image),
            seconds=seconds,
            say=say,
        )
        report: Mapping[str, Any] = {}
        if say is None:
            with suppress(ValueError):  # it ended before it could write its document
                found = json.loads(done.text)
                report = found if isinstance(found, dict) else {}
        return JobResult(done, report)

    def _name(self, what: str) -> str:
        self._count += 1
        return f"{JOB_NAMES}{what}-{os.getpid()}-{self._count}"

    def _images(self, image: str) -> dict[str, str]:
        return image_variables(self.journal.state.colours, image)

    def _values(self, image: str = "") -> dict[str, str]:
        environment = self.engine.settings.environment
        values = {name: environment[name] for name in _HANDED_ON if environment.get(name)}
        if image:
            values["IMAGE_DIGEST"] = image.rpartition("@")[2]
        if self.token:
            values["DEPLOY_LOCK_TOKEN"] = self.token
        return values

    def _variables(self) -> list[str]:
        return sorted(self._values())


def _drain_errors(process: subprocess.Popen[str], tail: list[str]) -> None:
    def read() -> None:
        assert process.stderr is not None  # noqa: S101 – for the type checker; it is a pipe
        for line in process.stderr:
            tail.append(line.rstrip("\n"))
            del tail[:-30]

    threading.Thread(target=read, daemon=True).start()
