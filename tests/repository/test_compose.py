"""Compose files: their schema, and rules of which each has a name that a breach is told by."""

import copy
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from tests.proxy.caddy import FILES

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "docker"
COMPOSE_FILES = {path.name: yaml.safe_load(path.read_text()) for path in sorted(DOCKER.glob("compose*.yaml"))}
PUBLIC = {
    "compose.yaml": ["127.0.0.1:8080:8080", "127.0.0.1:8443:8443"],
    "compose.gce.yaml": ["80:80", "443:443"],
}

# (file, service, rule): why it can't be kept there.
EXCEPTIONS = {
    ("compose.yaml", "firestore", "read-only"): "gcloud writes beside itself; development only",
    ("compose.gce.yaml", "job", "health check"): "a command that ends",
    ("compose.gce.yaml", "job", "restarts"): "a command that ends",
}


def seconds(text: str) -> int:
    return int(re.fullmatch(r"(\d+)s", text)[1])


def image_is_pinned(service: dict) -> bool:
    """A tag that says a version, unless it is built here or given by rollout (whose default is `none`)."""
    if "build" in service:
        return True
    image = service["image"]
    default = re.fullmatch(r"\$\{\w+:-(.*)\}", image)
    tag = (default[1] if default else image).rpartition(":")[2]
    return tag == "none" or bool(re.fullmatch(r"\d+(\.\d+)*(-[a-z]+)?", tag))


# What each service of each file keeps.
RULES: dict[str, Callable[[dict], bool]] = {
    "read-only": lambda service: service.get("read_only") is True,
    "no capabilities": lambda service: (
        service.get("cap_drop") == ["ALL"] and service.get("cap_add", []) in ([], ["NET_BIND_SERVICE"])
    ),
    "no new privileges": lambda service: "no-new-privileges:true" in service.get("security_opt", []),
    "not privileged": lambda service: (
        not any(
            service.get(key) for key in ("privileged", "pid", "network_mode", "ipc", "userns_mode", "devices")
        )
    ),
    "no socket of the engine": lambda service: "docker.sock" not in str(service.get("volumes", "")),
    "memory limit": lambda service: bool(service.get("mem_limit")),
    "process limit": lambda service: 0 < service.get("pids_limit", 0) <= 256,
    "health check": lambda service: bool(service.get("healthcheck", {}).get("test")),
    "grace to stop": lambda service: seconds(service.get("stop_grace_period", "0s")) >= 10,
    "log rotation": lambda service: (
        service.get("logging", {}).get("driver") == "json-file"
        and {"max-size", "max-file"} <= set(service["logging"].get("options", {}))
    ),
    "restarts": lambda service: service.get("restart") == "unless-stopped",
    "named networks": lambda service: bool(service.get("networks")),
    "pinned image": image_is_pinned,
    "no secret in the environment": lambda service: (
        not any(
            re.search(r"(PASSWORD|SECRET_KEY|DATABASE_URL|TOKEN_KEY)$", name)
            for name in service.get("environment", {})
        )
    ),
    "only the proxy publishes": lambda service: "ports" not in service or service.get("cap_add") is not None,
}


def breaches(name: str, compose: dict) -> Iterator[tuple[str, str, str]]:
    """(file, service, rule) of every rule that is not kept."""
    for service, settings in compose["services"].items():
        for rule, keeps in RULES.items():
            if not keeps(settings):
                yield name, service, rule


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_compose_follows_its_schema(name):
    done = subprocess.run(
        [
            Path(sys.executable).parent / "check-jsonschema",
            *("--builtin-schema", "vendor.compose-spec"),
            DOCKER / name,
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("rule", RULES)
def test_every_service_keeps(rule):
    found = {breach for name, compose in COMPOSE_FILES.items() for breach in breaches(name, compose)}
    assert {breach for breach in found - EXCEPTIONS.keys() if breach[2] == rule} == set()


def test_no_exception_is_left_over():
    found = {breach for name, compose in COMPOSE_FILES.items() for breach in breaches(name, compose)}
    assert EXCEPTIONS.keys() - found == set()


@pytest.mark.parametrize(
    ("rule", "key", "value"),
    [
        ("read-only", "read_only", False),
        ("no capabilities", "cap_drop", []),
        ("no capabilities", "cap_add", ["SYS_ADMIN"]),
        ("no new privileges", "security_opt", []),
        ("not privileged", "privileged", True),
        ("not privileged", "network_mode", "host"),
        ("no socket of the engine", "volumes", ["/var/run/docker.sock:/var/run/docker.sock"]),
        ("memory limit", "mem_limit", None),
        ("process limit", "pids_limit", -1),
        ("health check", "healthcheck", {"disable": True}),
        ("grace to stop", "stop_grace_period", "1s"),
        ("log rotation", "logging", {"driver": "json-file"}),
        ("restarts", "restart", "always"),
        ("named networks", "networks", []),
        ("pinned image", "image", "caddy:latest"),
        ("pinned image", "image", "caddy"),
        ("no secret in the environment", "environment", {"DATABASE_URL": "postgresql://"}),
        ("only the proxy publishes", "ports", ["8000:8000"]),
    ],
)
def test_a_broken_rule_is_told_by_its_name(rule, key, value):
    compose = copy.deepcopy(COMPOSE_FILES["compose.gce.yaml"])
    compose["services"]["backend-blue"][key] = value
    assert list(breaches("compose.gce.yaml", compose)) == [
        ("compose.gce.yaml", "backend-blue", rule),
        ("compose.gce.yaml", "job", "health check"),
        ("compose.gce.yaml", "job", "restarts"),
    ]


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_only_the_proxy_is_reached_from_outside(name):
    publishing = {
        service: settings["ports"]
        for service, settings in COMPOSE_FILES[name]["services"].items()
        if "ports" in settings
    }
    assert publishing == {"caddy": PUBLIC[name]}


def test_production_s_networks_keep_the_world_and_the_database_apart():
    compose = COMPOSE_FILES["compose.gce.yaml"]
    networks = {service: set(settings["networks"]) for service, settings in compose["services"].items()}
    assert networks == {
        "caddy": {"edge", "inner"},
        "frontend-blue": {"inner"},
        "frontend-green": {"inner"},
        "backend-blue": {"inner", "data"},
        "backend-green": {"inner", "data"},
        "job": {"inner", "data"},
        "cloud-sql-proxy": {"data"},
    }
    assert compose["networks"]["inner"] == {"internal": True}


def test_the_colours_and_the_job_differ_in_their_image_only():
    services = COMPOSE_FILES["compose.gce.yaml"]["services"]

    def without_image(name: str) -> dict:
        service = copy.deepcopy(services[name])
        service.pop("image")
        service.get("environment", {}).pop("IMAGE_DIGEST", None)
        return service

    assert without_image("backend-blue") == without_image("backend-green")
    assert without_image("frontend-blue") == without_image("frontend-green")
    job, backend = without_image("job"), without_image("backend-blue")
    assert job["environment"].pop("TMPDIR").startswith("/var/lib/deploy")
    for key in ("environment", "secrets", "volumes", "networks", "user", "read_only"):
        assert job[key] == backend[key], key


@pytest.mark.parametrize("name", COMPOSE_FILES)
def test_secrets_are_files_of_the_machine_and_every_one_is_used(name):
    compose = COMPOSE_FILES[name]
    used = {secret for service in compose["services"].values() for secret in service.get("secrets", [])}
    assert used == set(compose["secrets"])
    folder = "./secrets" if name == "compose.yaml" else "${SECRETS_DIR:-/run/optifit/secrets}"
    assert compose["secrets"] == {secret: {"file": f"{folder}/{secret}"} for secret in used}
    # Without them the smoke test of a deploy skips the login and the API.
    for service in compose["services"].values():
        if "database_url" in service.get("secrets", []):
            assert {"SMOKE_ACCOUNT", "SMOKE_PASSWORD_FILE"} <= set(service["environment"])


def test_what_is_said_of_bodies_agrees():
    """The proxy's limit is above the application's, so that the application is who refuses."""
    limit = int(re.search(r"REQUEST_BODY_MAX_BYTES:(\d+)", (FILES / "site.caddy").read_text())[1])
    environment = COMPOSE_FILES["compose.gce.yaml"]["services"]["backend-blue"]["environment"]
    image = int(re.search(r":-(\d+)", environment["IMAGE_MAX_BYTES"])[1])
    assert image + 64 * 1024 < limit < 2 * image


@pytest.mark.skipif(
    not shutil.which("docker-compose"), reason="docker-compose is missing: apt-get install docker-compose"
)
def test_production_s_file_is_read_by_the_older_docker_compose_too(tmp_path):
    settings = tmp_path / "env"
    settings.write_text(
        "PUBLIC_HOST=optifit.test\nDEPLOY_BUCKET=gs://a\nSTATIC_BUCKET=gs://b\nCLOUD_SQL_INSTANCE=p:r:i\n"
    )
    done = subprocess.run(
        ["docker-compose", "--env-file", settings, "-f", DOCKER / "compose.gce.yaml", "config"],  # noqa: S607 – from PATH
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    read = yaml.safe_load(done.stdout)["services"]
    assert set(read) == set(COMPOSE_FILES["compose.gce.yaml"]["services"])
    assert read["backend-green"]["environment"]["CSRF_TRUSTED_ORIGINS"] == "https://optifit.test"
