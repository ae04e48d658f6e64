"""Docker and Compose. What is asked of them is a list of arguments; labels, not names, find containers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .names import COLOURS, PARTS
from .problems import DISK_FULL, ENGINE, UNREACHED
from .processes import Done, Programs, Say
from .settings import Settings

# Compose wants every image named, also of services that are not started. Nothing is ever pulled by it.
NOT_DEPLOYED = "not-deployed"
JOB_NAMES = "optifit-rollout-"
_RELEASE_LABEL = "org.opencontainers.image.revision"


@dataclass(frozen=True)
class Container:
    """A container as `docker inspect` tells it. No check: `health` is ""; no network: `address`."""

    id: str
    name: str
    status: str
    exit_code: int
    error: str
    restarts: int
    image: str
    image_id: str
    address: str
    health: str
    health_log: str

    @property
    def running(self) -> bool:
        """It is up now (one that Docker starts again and again is `restarting`)."""
        return self.status == "running"


class Engine:
    """Docker on this machine."""

    def __init__(self, settings: Settings, programs: Programs) -> None:
        self.settings = settings
        self.programs = programs

    def compose_argv(self, *arguments: str) -> list[str]:
        """Works for `docker compose` and for the older docker-compose."""
        files = [part for path in self.settings.files for part in ("-f", str(path))]
        return [*self.settings.compose, *files, "-p", self.settings.project, *arguments]

    def job_argv(self, name: str, variables: Sequence[str], arguments: Sequence[str]) -> list[str]:
        """A one-shot container; `variables` are taken from the environment, so that no value is in `ps`."""
        given = [part for variable in variables for part in ("-e", variable)]
        return self.compose_argv("run", "--rm", "--no-deps", "-T", "--name", name, *given, "job", *arguments)

    def docker(self, *arguments: str, seconds: float | None = None, say: Say | None = None) -> Done:
        """Ask the client."""
        limit = self.settings.limits.docker if seconds is None else seconds
        return self.programs.run([self.settings.docker, *arguments], seconds=limit, say=say)

    def pull(self, image: str, say: Say | None = None) -> None:
        """Bring the image to this machine, unless it is there: a digest never means another one.

        Raises:
            Problem: rollout.R008, rollout.R009.
        """
        if self.docker("image", "inspect", "--format", "{{.Id}}", image).ok:
            return
        done = self.docker("pull", image, seconds=self.settings.limits.pull, say=say)
        if done.disk_full:
            raise DISK_FULL(what="docker pull", evidence=done.tail[-5:])
        if not done.ok:
            reason = f"no end within {self.settings.limits.pull:g} s" if done.timed_out else done.last
            raise UNREACHED(image=image, reason=reason, evidence=done.tail[-5:])

    def label(self, image: str) -> str | None:
        """The release that the image says it is, "" when it says none; None when the image is not here."""
        done = self.docker("image", "inspect", "--format", "{{json .Config.Labels}}", image)
        if not done.ok:
            return None
        labels = json.loads(done.text or "null") or {}
        return str(labels.get(_RELEASE_LABEL, ""))

    def up(self, services: Sequence[str], images: Mapping[str, str], *, recreate: bool = True) -> None:
        """Start services, made anew where they differ from the compose files.

        Raises:
            Problem: rollout.R007, rollout.R008.
        """
        options = ["--no-deps"] if recreate else ["--no-deps", "--no-recreate"]
        done = self.programs.run(
            self.compose_argv("up", "-d", *options, *services),
            seconds=self.settings.limits.compose,
            more=images,
        )
        if done.disk_full:
            raise DISK_FULL(what=f"starting {', '.join(services)}", evidence=done.tail[-5:])
        if not done.ok:
            reason = "no end in time" if done.timed_out else done.last
            raise ENGINE(what=f"start {', '.join(services)}", reason=reason, evidence=done.tail[-10:])

    def start_again(self, service: str, image: str) -> bool:
        """Start the container that was kept, as it was, when it is of `image`; whether there was one."""
        kept = [container for container in self.containers(service) if container.image == image]
        return bool(kept) and (kept[0].running or self.docker("start", kept[0].id).ok)

    def containers(self, service: str) -> list[Container]:
        """The service's containers, running or not; without those of `compose run`.

        Raises:
            Problem: rollout.R007 when Docker does not answer.
        """
        return self._inspect(
            f"label=com.docker.compose.project={self.settings.project}",
            f"label=com.docker.compose.service={service}",
            "label=com.docker.compose.oneoff=False",
        )

    def jobs(self) -> list[Container]:
        """One-shot containers of rollouts, of this one or of one that was killed."""
        return self._inspect(f"name=^/?{JOB_NAMES}")

    def stop(self, container: str, seconds: float) -> Done:
        """SIGTERM, and SIGKILL after `seconds`. It is kept, and stays stopped when the machine restarts."""
        return self.docker(
            "stop", "-t", f"{seconds:.0f}", container, seconds=seconds + self.settings.limits.docker
        )

    def logs(self, container: str, count: int = 20) -> tuple[str, ...]:
        """The last lines that it has said, of both outputs."""
        done = self.docker("logs", "--tail", str(count), container)
        return done.tail[-count:]

    def images_in_use(self) -> set[str]:
        """Identities of the images of all containers, running or not."""
        return {container.image_id for container in self._inspect()}

    def image_id(self, image: str) -> str:
        """What the engine calls the image, "" when it is not here."""
        done = self.docker("image", "inspect", "--format", "{{.Id}}", image)
        return done.text.strip() if done.ok else ""

    def run_job(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        variables: Mapping[str, str],
        images: Mapping[str, str],
        seconds: float,
        say: Say | None,
    ) -> Done:
        """Run one to its end; it is stopped when its time is over or a signal comes."""
        return self.programs.run(
            self.job_argv(name, sorted(variables), arguments),
            seconds=seconds,
            say=say,
            more={**images, **variables},
            on_stop=self.stopper(name),
        )

    def stopper(self, name: str) -> Callable[[], None]:
        """Ends the job called `name`, with time to put its things in order."""

        def stop() -> None:
            self.stop(name, 30)

        return stop

    def _inspect(self, *filters: str) -> list[Container]:
        wanted = [part for one in filters for part in ("--filter", one)]
        listed = self.docker("ps", "-aq", "--no-trunc", *wanted)
        if not listed.ok:
            raise ENGINE(what="list containers", reason=listed.last)
        ids = listed.text.split()
        if not ids:
            return []
        done = self.docker("inspect", "--type", "container", *ids)
        # One that went away in between is left out, and makes the exit code 1.
        return [_container(one) for one in json.loads(done.text or "[]")]


def image_variables(colours: Mapping[str, Mapping[str, Any]], job: str) -> dict[str, str]:
    """What compose.gce.yaml's `${BACKEND_BLUE_IMAGE}` and its like are."""
    found = {"JOB_IMAGE": job or NOT_DEPLOYED}
    for part in PARTS:
        for colour in COLOURS:
            there = colours.get(part, {}).get(colour)
            found[f"{part.upper()}_{colour.upper()}_IMAGE"] = there.image if there else NOT_DEPLOYED
    return found


def _container(data: Mapping[str, Any]) -> Container:
    state = data["State"]
    health = state.get("Health") or {}
    log = health.get("Log") or []
    networks = (data.get("NetworkSettings") or {}).get("Networks") or {}
    # Of its networks the one that Caddy is in too.
    ordered = sorted(networks, key=lambda name: (not name.endswith("inner"), name))
    address = next((networks[name]["IPAddress"] for name in ordered if networks[name].get("IPAddress")), "")
    return Container(
        id=data["Id"],
        name=data["Name"].lstrip("/"),
        status=state.get("Status", ""),
        exit_code=int(state.get("ExitCode", 0)),
        error=state.get("Error", ""),
        restarts=int(data.get("RestartCount", 0)),
        image=data["Config"]["Image"],
        image_id=data["Image"],
        address=address,
        health=health.get("Status", ""),
        health_log=str(log[-1].get("Output", "")).strip() if log else "",
    )
