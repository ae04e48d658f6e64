"""Where things are on the machine: options, then the environment, then docker/.env (plain settings)."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from . import names
from .limits import Limits, read_limits
from .problems import NOT_SET, NOT_USABLE

DOCKER_FOLDER = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Settings:
    """One machine.

    Attributes:
        state: the folder that outlives everything (journal, live/, log/).
        compose: how Compose is called, `docker compose` or `docker-compose`, without its options.
        files: compose files, the later over the earlier.
        docker: the client.
        public_host: the name that is served.
        public_url: what the public smoke test asks, from a container.
        proxy_url: where Caddy listens for this machine itself.
        proxy_ca_file: certificates to trust there beside the system's, "" for none.
        base: services that always run.
        access_log: Caddy's, one JSON object a line.
        environment: what every program that is started gets.
    """

    state: Path
    compose: tuple[str, ...]
    files: tuple[Path, ...]
    project: str
    docker: str
    public_host: str
    public_url: str
    proxy_url: str
    proxy_ca_file: str
    base: tuple[str, ...]
    access_log: Path
    limits: Limits
    environment: Mapping[str, str]

    @property
    def rollout_folder(self) -> Path:
        """Journal and locks."""
        return self.state / "rollout"


def read_settings(
    environment: Mapping[str, str],
    *,
    state: str = "",
    files: Sequence[str] = (),
    compose: str = "",
    docker: str = "",
) -> Settings:
    """The settings of this machine.

    Raises:
        Problem: rollout.R002, rollout.R003 (exit code 2).
    """
    chosen = [Path(name).absolute() for name in files or _split(environment.get("COMPOSE_FILE", ""))]
    chosen = chosen or [DOCKER_FOLDER / "compose.gce.yaml"]
    for path in chosen:
        if not path.is_file():
            raise NOT_USABLE(
                what="The compose file", value=str(path), reason="there is none", hint=f"ls {path.parent}"
            )
    told = {**read_dotenv(chosen[0].parent / ".env"), **environment}
    host = told.get("PUBLIC_HOST", "")
    if not host:
        raise NOT_SET(
            name="PUBLIC_HOST",
            reason="the smoke tests ask it",
            hint=f"echo PUBLIC_HOST=optifit.example >> {chosen[0].parent / '.env'}",
        )
    names.host_name(host)
    client = docker or told.get("ROLLOUT_DOCKER", "") or "docker"
    folder = Path(state or told.get("ROLLOUT_STATE", "") or told.get("STATE_DIR", "") or "/var/lib/optifit")
    own = {name: value for name, value in told.items() if name in environment}
    own["STATE_DIR"] = str(folder.absolute())
    if "/" in client:
        # docker-compose looks for its docker on the PATH: let it be the same one.
        own["PATH"] = f"{Path(client).absolute().parent}{os.pathsep}{own.get('PATH', os.defpath)}"
    behind = told.get("TLS_MODE", "") == "load-balancer"
    return Settings(
        state=folder.absolute(),
        compose=tuple(shlex.split(compose or told.get("ROLLOUT_COMPOSE", "") or "docker compose")),
        files=tuple(chosen),
        project=names.service(told.get("COMPOSE_PROJECT_NAME", "") or "optifit"),
        docker=client,
        public_host=host,
        public_url=told.get("PUBLIC_URL", "") or f"https://{host}",
        proxy_url=told.get("PROXY_URL", "") or ("http://127.0.0.1" if behind else "https://127.0.0.1"),
        proxy_ca_file=told.get("PROXY_CA_FILE", ""),
        base=tuple(
            names.service(name) for name in told.get("BASE_SERVICES", "caddy cloud-sql-proxy").split()
        ),
        access_log=folder.absolute() / "log" / "access.log",
        limits=read_limits(told),
        environment=own,
    )


def read_dotenv(path: Path) -> dict[str, str]:
    """NAME=VALUE lines; Compose reads the same file. Empty when there is none."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise NOT_USABLE(
            what="The file",
            value=str(path),
            reason=error.strerror or "it can't be read",
            hint=f"ls -l {path}",
        ) from error
    found = {}
    for line in text.splitlines():
        name, equals, value = line.partition("=")
        if equals and not name.lstrip().startswith("#"):
            found[name.strip()] = value.strip().strip("\"'")
    return found


def _split(text: str) -> list[str]:
    return [name for name in text.split(os.pathsep) if name]
