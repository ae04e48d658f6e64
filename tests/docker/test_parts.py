"""The parts that need no machine: names, settings, the folder of colours, what is kept, the Python."""

import ast
import os
import sys
from pathlib import Path

import pytest
from switching import names
from switching.engine import Engine
from switching.journal import Deployed, Deployment, Journal, Operation, State
from switching.live import Live
from switching.problems import Problem
from switching.processes import Programs
from switching.retention import kept, superfluous
from switching.settings import read_settings

DOCKER = Path(__file__).parents[2] / "docker"
SOURCES = [DOCKER / "rollout.py", *sorted((DOCKER / "switching").glob("*.py"))]


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_runs_on_the_python_of_an_older_machine_without_packages(path: Path) -> None:
    tree = ast.parse(path.read_text(), feature_version=(3, 9))
    imported = {
        node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level == 0
    }
    imported |= {name.name for node in ast.walk(tree) if isinstance(node, ast.Import) for name in node.names}
    roots = {str(name).partition(".")[0] for name in imported}
    assert roots <= sys.stdlib_module_names | {"switching"}


@pytest.mark.parametrize("part", ["backend", "frontend"])
def test_one_of_two_colours_is_live_after_each_switch(tmp_path: Path, part: str) -> None:
    live = Live(tmp_path)
    live.prepare()
    assert live.colour(part) == ""
    for colour in ("blue", "green", "blue"):
        assert live.switch(part, colour)
        assert not live.switch(part, colour)
        assert live.colour(part) == colour
        assert [path.name for path in tmp_path.glob(f"{part}.*")] == [f"{part}.{colour}"]


def test_two_files_are_read_as_caddy_reads_them_and_become_one(tmp_path: Path) -> None:
    live = Live(tmp_path)
    (tmp_path / "backend.blue").touch()
    (tmp_path / "backend.green").touch()
    assert live.colour("backend") == "green"
    live.switch("backend", "blue")
    assert [path.name for path in tmp_path.glob("backend.*")] == ["backend.blue"]


@pytest.mark.parametrize(("text", "count"), [("5%", 13), ("0.1%", 1), ("50%", 128)])
def test_shares_are_of_256(text: str, count: int) -> None:
    assert names.buckets(text) == count


@pytest.mark.parametrize("text", ["0%", "51%", "5", "-5%", "nan%"])
def test_shares_that_are_none(text: str) -> None:
    with pytest.raises(Problem, match="can't be used"):
        names.buckets(text)


@pytest.mark.parametrize(
    "text",
    [
        "europe-docker.pkg.dev/optifit/app/backend@sha256:" + "a" * 64,
        "127.0.0.1:5000/backend@sha256:" + "0" * 64,
        "optifit__x/back-end.y@sha256:" + "0" * 64,
    ],
)
def test_images_by_digest(text: str) -> None:
    assert names.image(text) == text


def test_the_last_five_of_each_part_are_kept() -> None:
    deployments = tuple(
        Deployment("2026", {"backend": Deployed(f"b{number}", f"{number}"), "frontend": Deployed("f", "F")})
        for number in range(8)
    )
    assert kept("backend", deployments) == ("b7", "b6", "b5", "b4", "b3")
    state = State(deployments=deployments, pulled={"backend": ("b1", "b7", "failed"), "frontend": ("f",)})
    assert superfluous(state) == {"backend": ("b1", "failed"), "frontend": ()}


def test_the_journal_is_what_was_written(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    journal.save(operation=Operation("1", "rollout", "pulling", "2026"), pulled={"backend": ("x",)})
    again = Journal(tmp_path)
    assert again.load() == journal.state
    assert [path.name for path in tmp_path.iterdir()] == ["state.json"]


def test_the_one_client_is_used_by_compose_too(tmp_path: Path) -> None:
    (tmp_path / "compose.yaml").touch()
    environment = {"PUBLIC_HOST": "optifit.example", "PATH": "/usr/local/bin"}
    files = [str(tmp_path / "compose.yaml")]
    settings = read_settings(environment, files=files, docker="/usr/bin/docker", compose="docker-compose -D")
    assert settings.environment["PATH"] == f"/usr/bin{os.pathsep}/usr/local/bin"
    engine = Engine(settings, Programs(tmp_path, {}))
    assert engine.job_argv("n", ["TOKEN"], ["predeploy"]) == [
        *["docker-compose", "-D", "-f", files[0], "-p", "optifit", "run", "--rm", "--no-deps", "-T"],
        *["--name", "n", "-e", "TOKEN", "job", "predeploy"],
    ]


def test_programs_are_ended_when_their_time_is_over(tmp_path: Path) -> None:
    stopped: list[str] = []
    programs = Programs(tmp_path, {"PATH": os.environ["PATH"]})
    argv = [sys.executable, "-c", "import time; print('begun', flush=True); time.sleep(600)"]
    done = programs.run(argv, seconds=1, on_stop=lambda: stopped.append("x"))
    assert done.timed_out
    assert not done.ok
    assert stopped == ["x"]
