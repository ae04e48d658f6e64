"""What can be wrong, numbered: one sentence with the fact, and a line to type."""

from __future__ import annotations

from dataclasses import dataclass, replace

EXIT_OK = 0
EXIT_REFUSED = 1
EXIT_USAGE = 2
EXIT_LOCKED = 75


def printable(text: str) -> str:
    """`text` from outside without what a terminal or a log would act on: control characters but newline."""
    return "".join(char if char == "\n" or char.isprintable() else " " for char in text)


@dataclass(frozen=True)
class Finding:
    """A fact that somebody should read. `evidence`: lines of logs and answers, oldest first."""

    id: str
    level: str  # error, warning, info
    message: str
    hint: str
    evidence: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, object]:
        """The shape of a finding in the report of `deploy`'s own commands, with the evidence."""
        return {
            "id": self.id,
            "level": self.level,
            "message": self.message,
            "hint": self.hint,
            "place": None,
            "evidence": list(self.evidence),
        }


class Problem(Exception):  # noqa: N818 – it is what the finding is about, and ends the command
    """Ends what is done with a finding and an exit code."""

    def __init__(self, finding: Finding, exit_code: int) -> None:
        super().__init__(finding.message)
        self.finding = finding
        self.exit_code = exit_code


class Interrupted(Exception):  # noqa: N818 – not an error
    """SIGTERM or SIGINT was received."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


@dataclass(frozen=True)
class ProblemType:
    """A kind of problem; called with its values it makes one."""

    id: str
    message: str
    hint: str
    exit_code: int = EXIT_REFUSED

    def finding(self, level: str = "error", evidence: tuple[str, ...] = (), **values: object) -> Finding:
        """The finding alone, for what is worth saying and stops nothing."""
        finding = Finding(self.id, level, self.message.format(**values), self.hint.format(**values))
        return replace(
            finding,
            message=printable(finding.message),
            hint=printable(finding.hint),
            evidence=tuple(printable(line) for line in evidence),
        )

    def __call__(self, *, evidence: tuple[str, ...] = (), **values: object) -> Problem:
        return Problem(self.finding("error", evidence, **values), self.exit_code)


# --- what was typed or is set (exit code 2) -------------------------------------------------------------
NOT_A_DIGEST = ProblemType(
    "rollout.R001",
    "{image!r} does not name an image by its digest.",
    "NAME@sha256:…, after a push: docker inspect --format '{{{{index .RepoDigests 0}}}}' NAME:TAG",
    EXIT_USAGE,
)
NOT_USABLE = ProblemType("rollout.R002", "{what} {value!r} can't be used: {reason}.", "{hint}", EXIT_USAGE)
NOT_SET = ProblemType("rollout.R003", "{name} is not set: {reason}.", "{hint}", EXIT_USAGE)
NOTHING_LIVE = ProblemType(
    "rollout.R004", "No {part} was rolled out on this machine yet.", "docker/rollout.py status", EXIT_USAGE
)
UNKNOWN_RELEASE = ProblemType(
    "rollout.R005",
    "This machine has never served release {release!r}; it knows {known}.",
    "docker/rollout.py rollout IMAGE@sha256:…  # by its image",
    EXIT_USAGE,
)
STATE_DAMAGED = ProblemType(
    "rollout.R006",
    "The journal {path} can't be read: {reason}. Traffic is as live/ says; nothing was changed.",
    "mv {path} {path}.damaged; then roll out again the image that is live: docker ps",
    EXIT_USAGE,
)
ENGINE = ProblemType(
    "rollout.R007",
    "Docker did not do {what}: {reason}.",
    "docker info; journalctl -u docker -n 50",
    EXIT_USAGE,
)
DISK_FULL = ProblemType(
    "rollout.R008",
    "No space is left: {what} stopped with it.",
    "df -h / /var/lib/docker /var/lib/optifit; docker system df; then the same command again",
    EXIT_USAGE,
)
UNREACHED = ProblemType(
    "rollout.R009",
    "{image} could not be pulled: {reason}.",
    "docker pull {image}",
    EXIT_USAGE,
)
NOT_WRITTEN = ProblemType(
    "rollout.R045", "{path} can't be written: {reason}.", "ls -ld {path}; df -h", EXIT_USAGE
)

# --- somebody else (exit code 75) -----------------------------------------------------------------------
BUSY_HERE = ProblemType(
    "rollout.R010",
    "Another rollout works on this machine: {holder}.",
    "docker/rollout.py status; when it is done, the same command again",
    EXIT_LOCKED,
)
LOCKED = ProblemType(
    "rollout.R011",
    "The deploy lock is held by somebody else, or was lost.",
    "releases lock in a job container shows the owner; then the same command again",
    EXIT_LOCKED,
)
STILL_RUNNING = ProblemType(
    "rollout.R012",
    "A program that a killed rollout had started still runs (what it waits for: {names}).",
    "docker ps --filter name=optifit-rollout-; wait or docker stop NAME, then: docker/rollout.py recover",
    EXIT_LOCKED,
)

# --- the release (exit code 1) --------------------------------------------------------------------------
NO_RELEASE_NAME = ProblemType(
    "rollout.R020",
    "The image of the {part} says no release: label org.opencontainers.image.revision is {label!r}.",
    "build it with --build-arg RELEASE=…, or name it: rollout --release NAME IMAGE",
)
OTHER_NAME = ProblemType(
    "rollout.R021",
    "The image is of release {label}, not of {release}.",
    "the digest of the right image, or without --release",
)
JOB_FAILED = ProblemType("rollout.R022", "{job} said no (exit code {code}).", "{hint}")
NOT_STARTED = ProblemType(
    "rollout.R023",
    "The {service} of release {release} does not stay up: {state}.",
    "docker logs {container}",
)
NEVER_READY = ProblemType(
    "rollout.R024",
    "The {service} of release {release} was not ready within {seconds:g} s: {check}.",
    "docker logs {container}; a longer limit: ROLLOUT_START_SECONDS",
)
FRONTEND_BAD = ProblemType(
    "rollout.R025", "The {service} does not serve a frontend: {reason}.", "docker logs {container}"
)
CANARY_WORSE = ProblemType(
    "rollout.R026",
    "The canary fails more: {new_errors} of {new} requests ended with 5xx, "
    "of the release before {old_errors} of {old}.",
    "docker logs {container}",
)
NOT_SEEN = ProblemType(
    "rollout.R027",
    "Release {release} did not answer {wanted} times in a row through the proxy in {seconds:g} s: {seen}.",
    "curl -si --connect-to ::127.0.0.1: {url}",
)
KILLED = ProblemType("rollout.R029", "A {command} was killed while {state}.", "docker/rollout.py status")
INTERRUPTED = ProblemType("rollout.R028", "Stopped by {signal} while {state}.", "docker/rollout.py status")

# --- the way back ---------------------------------------------------------------------------------------
WENT_BACK = ProblemType(
    "rollout.R030",
    "Release {release} failed at {step}; traffic is on {live} again.",
    "mend it and roll out again; the container is kept for you: docker logs {container}",
)
STAYED_AWAY = ProblemType(
    "rollout.R031",
    "Release {release} failed at {step}, before the switch; {live} was never touched.",
    "mend it and roll out again",
)
FIRST_STAYS = ProblemType(
    "rollout.R032",
    "Release {release} failed at {step}, and nothing was live before it to go back to: it keeps running.",
    "mend what the finding above says and run the same rollout again",
)
STAYS_LIVE = ProblemType(
    "rollout.R033",
    "Release {release} failed at {step} after it had changed the database for good ({way}): it stays live.",
    "docker/rollout.py rollback --dry-run",
)
WAY_UNKNOWN = ProblemType(
    "rollout.R034",
    "The way back from {release} could not be told: {reason}. What is live stays live.",
    "docker/rollout.py recover  # finishes or goes back once the bucket and the database answer",
)
IMPOSSIBLE = ProblemType("rollout.R035", "There is no way back: {reason}.", "docker/rollout.py status")
NOT_CONFIRMED = ProblemType(
    "rollout.R036",
    "Going back from {release} to {target} restores backup {backup} over the live database: {lost}.",
    "docker/rollout.py rollback {target} --yes-restore {release}",
    EXIT_USAGE,
)
NOT_RECORDED = ProblemType(
    "rollout.R037",
    "The ledger does not know yet that {what}: {reason}.",
    "docker/rollout.py recover",
)
DATABASE_IS_BACK = ProblemType(
    "rollout.R038",
    "The database went back ({way}), and release {target} could not take over: {release} is live on it.",
    "look at why, then the same rollback again",
)

SMOKE_AFTER = ProblemType(
    "rollout.R039",
    "Release {release} is live again, and the smoke test says no: {reason}",
    "docker/rollout.py status",
)

# --- worth knowing (they stop nothing) ------------------------------------------------------------------
TOO_FEW = ProblemType(
    "rollout.R040",
    "Only {new} requests came to the canary, of {minimum} that a comparison needs; none of them failed.",
    "a larger share or a longer time: --canary 20% --for 30m",
)
NOT_REMOVED = ProblemType(
    "rollout.R041", "Image {image} could not be removed: {reason}.", "docker image rm {image}"
)
NOT_STOPPED = ProblemType(
    "rollout.R042", "Container {container} could not be stopped: {reason}.", "docker stop {container}"
)
WITHOUT_JOURNAL = ProblemType(
    "rollout.R043",
    "The journal could not be written; going back does not need it. {reason}",
    "df -h; then: docker/rollout.py recover",
)
OLD_SMOKE = ProblemType(
    "rollout.R044",
    "The release that is live again has trouble of its own: {reason}.",
    "docker/rollout.py status",
)
