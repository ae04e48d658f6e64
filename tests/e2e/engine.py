"""A Docker Engine of the tests' own: Debian's dockerd with its own data, socket and registry.

What is slow to make (layers, BuildKit's cache, the registry's blobs) stays in CACHE between sessions; what a
session ran is removed at its end, and, if it was killed, at the start of the next one.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE, STDOUT

from tests.e2e import registry, system
from tests.e2e.system import wait_for

CACHE = Path(os.environ.get("E2E_CACHE") or Path(tempfile.gettempdir()) / "optifit-e2e-cache")
# Debian's own: another, newer client may be first on the PATH.
DOCKER = "/usr/bin/docker"
COMPOSE = "/usr/bin/docker-compose"
DOCKERD = "/usr/sbin/dockerd"
SETPRIV = "/usr/bin/setpriv"
PROGRAMS = (DOCKER, COMPOSE, DOCKERD, registry.PROGRAM, "/usr/bin/mmdebstrap", "/usr/sbin/iptables")
SEARCH_PATH = "/usr/bin:/bin:/usr/sbin:/sbin"
STARTING = Path("/run/optifit-e2e.lock")
BUILD_CACHE = {"gc": {"enabled": True, "defaultKeepStorage": "4GB"}}


class EngineError(Exception):
    """A command of the engine failed; the message is what it said."""


def is_usable() -> bool:
    """Whether this machine has all of PROGRAMS and we may run an engine (it needs root)."""
    return os.geteuid() == 0 and all(Path(program).exists() for program in PROGRAMS)


class Engine:
    """One running dockerd and one registry. `with Engine() as engine:` starts both and leaves nothing."""

    def __init__(self) -> None:
        self.folder = CACHE
        self.environment: dict[str, str] = {}
        self._closing = ExitStack()
        self._dockerd: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Engine:
        try:
            self._take_slot()
            # Sockets have paths of at most 107 bytes, which a test's temporary folder may exceed.
            self._run = Path(tempfile.mkdtemp(prefix="e2e-", dir="/run"))
            self._closing.callback(shutil.rmtree, self._run)
            self._closing.callback(system.unmount, [self._run, self.folder])
            self.environment = {
                "PATH": SEARCH_PATH,
                "HOME": str(self._run),
                "DOCKER_HOST": f"unix://{self._run}/docker.sock",
                "DOCKER_BUILDKIT": "1",
            }
            self._closing.callback(self._stop)
            self.start()
            self.clean()
            storage = self.folder / "registry"
            self.registry_port = self._closing.enter_context(registry.running(storage, self._run))
        except BaseException:
            self._closing.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    # --- what tests use -------------------------------------------------------------------------------

    def docker(self, *arguments: str, input: str | None = None, timeout: float = 300) -> str:  # noqa: A002
        """Standard output of `docker ARGUMENTS`, stripped.

        Raises:
            EngineError: it failed.
        """
        return self.run([DOCKER, *arguments], input=input, timeout=timeout)

    def compose(self, *arguments: str, timeout: float = 300, **environment: str) -> str:
        """Standard output of `docker-compose ARGUMENTS` with `environment` added to the engine's."""
        return self.run([COMPOSE, *arguments], timeout=timeout, environment=environment)

    def logs(self, container: str) -> str:
        """What the container has written to either output."""
        command = [DOCKER, "logs", container]
        both = subprocess.run(
            command, stdout=PIPE, stderr=STDOUT, text=True, env=self.environment, check=False
        )
        return both.stdout

    def run(
        self,
        command: Sequence[str],
        *,
        input: str | None = None,  # noqa: A002 – subprocess's own word
        timeout: float = 300,
        environment: dict[str, str] | None = None,
    ) -> str:
        """Standard output of `command`, run with the engine's environment and `environment`, stripped."""
        done = subprocess.run(
            command,
            input=input,
            capture_output=True,
            text=True,
            timeout=timeout,
            env=self.environment | (environment or {}),
            check=False,
        )
        if done.returncode:
            said = f"{done.stdout}{done.stderr}".strip()[-4000:]
            raise EngineError(f"{' '.join(command)} exited with {done.returncode}:\n{said}")
        return done.stdout.strip()

    def build(
        self, dockerfile: Path | str, tag: str, *, context: Path, target: str = "", **arguments: str
    ) -> str:
        """Build `dockerfile` (its path, or its text) and return `tag`; `arguments` are its ARGs."""
        command = ["build", "--quiet", "--network=host", "--tag", tag]
        command += ["--file", str(dockerfile) if isinstance(dockerfile, Path) else "-"]
        command += ["--target", target] if target else []
        for name, value in arguments.items():
            command += ["--build-arg", f"{name}={value}"]
        text = None if isinstance(dockerfile, Path) else dockerfile
        self.docker(*command, str(context), input=text, timeout=900)
        return tag

    def publish(self, tag: str) -> str:
        """Push `tag` to the registry of the tests; returns the image as `127.0.0.1:PORT/name@sha256:…`."""
        name, _, version = tag.partition(":")
        remote = f"127.0.0.1:{self.registry_port}/{name}"
        self.docker("tag", tag, f"{remote}:{version or 'latest'}")
        self.docker("push", "--quiet", f"{remote}:{version or 'latest'}")
        digests = self.docker("inspect", "--format", '{{join .RepoDigests "\\n"}}', tag).split()
        return next(digest for digest in digests if digest.startswith(f"{remote}@"))

    def clean(self) -> None:
        """Remove every container, network and volume, and images without a name."""
        if containers := self.docker("ps", "--all", "--quiet", "--no-trunc").split():
            self.docker("rm", "--force", "--volumes", *containers)
        # Not `system prune`: that takes BuildKit's cache too, which dockerd itself keeps below BUILD_CACHE.
        for kind in ("network", "volume", "image"):
            self.docker(kind, "prune", "--force")

    def power_cut(self) -> None:
        """Kill everything at once: engine, containers, published ports. `start()` is the power's return."""
        for process in self._everything():
            try:
                os.kill(process, signal.SIGKILL)
            except ProcessLookupError:
                continue
        if self._dockerd:
            self._dockerd.wait(30)
        wait_for(lambda: not self._everything(), "the end of every process", seconds=30)
        # A machine's /run is empty after its start, and nothing is mounted.
        (self.folder / "pid").unlink(missing_ok=True)
        system.unmount([self._run, self.folder])
        shutil.rmtree(self._run / "exec")

    def start(self) -> None:
        """Start dockerd; containers that should be running come back by themselves.

        Raises:
            EngineError: it isn't there within a minute: with the end of its log.
        """
        command = [DOCKERD, "--bridge=none", "--log-level=warn", f"--host={self.environment['DOCKER_HOST']}"]
        command += [f"--data-root={self.folder / 'data'}", f"--exec-root={self._run / 'exec'}"]
        command += [f"--pidfile={self.folder / 'pid'}", f"--config-file={self._run / 'daemon.json'}"]
        (self._run / "daemon.json").write_text(json.dumps({"builder": BUILD_CACHE}))
        # Two that start at the same moment trip over each other's iptables chains.
        with (self.folder / "log").open("wb") as log, STARTING.open("w") as starting:
            fcntl.flock(starting, fcntl.LOCK_EX)
            self._dockerd = subprocess.Popen(
                # The engine ends with the tests, even when they are killed; until then it keeps the slot.
                [SETPRIV, "--pdeathsig", "TERM", *command],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=os.environ | {"PATH": SEARCH_PATH},
                pass_fds=(self._lock,),
                start_new_session=True,
            )
            try:
                wait_for(self._answers, "dockerd", seconds=60)
            except TimeoutError as error:
                raise EngineError((self.folder / "log").read_text(errors="replace")[-4000:]) from error

    def _everything(self) -> list[int]:
        """The processes of engine, runtime and containers; the engine, which starts others, is the first."""
        engine = [self._dockerd.pid] if self._dockerd and self._dockerd.poll() is None else []
        others = system.family(str(self._run / "exec"))
        return engine + [process for process in others if process not in engine]

    # --- how ------------------------------------------------------------------------------------------

    def _take_slot(self) -> None:
        """Sessions on one machine have an engine each; a slot is free when its last engine is gone."""
        for number in range(16):
            self.folder = CACHE / f"engine-{number}"
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(self._lock)
            else:
                self._closing.callback(os.close, self._lock)
                return
        raise EngineError(f"all engines of {CACHE} are in use")

    def _answers(self) -> bool:
        if self._dockerd and self._dockerd.poll() is not None:
            raise EngineError((self.folder / "log").read_text(errors="replace")[-4000:])
        done = subprocess.run([DOCKER, "version"], env=self.environment, capture_output=True, check=False)
        return done.returncode == 0

    def _stop(self) -> None:
        if self._dockerd is None:
            return
        if self._dockerd.poll() is None and self._answers():
            self.clean()
        self._dockerd.terminate()
        try:
            self._dockerd.wait(30)
        except subprocess.TimeoutExpired:
            self.power_cut()
