"""Workflows, Dockerfiles and hooks, checked by the tools that know them. All offline."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yml"))
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))


def run(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(BIN / tool), *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def hadolint(path: Path) -> list[dict]:
    return json.loads(run("hadolint", "--config", ".hadolint.yaml", "--format", "json", path).stdout)


def zizmor(path: Path) -> list[dict]:
    done = run("zizmor", "--offline", "--quiet", "--persona", "pedantic", "--format", "json", path)
    return json.loads(done.stdout)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_follow_githubs_schema(path):
    done = run("check-jsonschema", "--builtin-schema", "vendor.github-workflows", path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_zizmor_finds_nothing_in_the_workflows(path):
    assert zizmor(path) == []


def test_zizmor_would_find_something(tmp_path):
    workflow = tmp_path / "bad.yml"
    workflow.write_text(WORKFLOWS[0].read_text().replace("persist-credentials: false", "fetch-depth: 1"))
    assert "artipacked" in {finding["ident"] for finding in zizmor(workflow)}


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_every_action_is_pinned_to_a_commit_with_its_version(path):
    uses = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert uses
    for action, comment in uses:
        assert re.fullmatch(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}", action)
        assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_permissions_are_given_job_by_job(path):
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {}
    for job in workflow["jobs"].values():
        assert set(job["permissions"]) <= {"contents", "id-token"}
        assert job["permissions"]["contents"] == "read"
        assert job["timeout-minutes"] <= 60


def test_a_deploy_rolls_out_the_digest_that_it_pushed_and_one_at_a_time():
    workflow = yaml.safe_load((ROOT / ".github/workflows/deploy.yml").read_text())
    assert workflow["concurrency"] == {
        "group": "deploy-${{ inputs.environment }}",
        "cancel-in-progress": False,
    }
    steps = workflow["jobs"]["deploy"]["steps"]
    assert steps[-1]["name"] == "Roll out"
    # By digest, and with the release that the image's label must say.
    assert "rollout '$IMAGE@$IMAGE_DIGEST' --release '$RELEASE'" in steps[-1]["run"]


@pytest.mark.parametrize("name", ["deploy.yml"])
def test_shell_in_workflows_parses_and_takes_no_expression(name):
    workflow = yaml.safe_load((ROOT / ".github/workflows" / name).read_text())
    for job in workflow["jobs"].values():
        for step in job["steps"]:
            if script := step.get("run"):
                assert "${{" not in script
                done = subprocess.run(
                    ["bash", "-n"],  # noqa: S607 – from PATH
                    input=script,
                    capture_output=True,
                    text=True,
                    check=False,
                )
                assert done.stderr == ""


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_hadolint_finds_nothing_in_the_dockerfiles(path):
    assert hadolint(path) == []


def test_hadolint_would_find_something(tmp_path):
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM debian:latest\n")
    assert [finding["code"] for finding in hadolint(dockerfile)] == ["DL3007"]


def test_the_image_is_built_from_hashed_requirements_and_runs_as_nobody_special():
    text = (ROOT / "docker/backend.Dockerfile").read_text()
    assert "--require-hashes" in text
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)
    assert '"deploy.health.probe", "http://127.0.0.1:8000/readyz"' in text


def test_the_frontend_is_built_by_one_certain_flutter_and_runs_as_nobody_special():
    text = (ROOT / "docker/frontend.Dockerfile").read_text()
    # Not built in the tests: its image can't be had offline. The server's part is (tests/e2e/test_images.py).
    assert re.search(r"^ARG FLUTTER_IMAGE=\S+:\d+\.\d+\.\d+@sha256:[0-9a-f]{64}$", text, re.MULTILINE)
    assert "--enforce-lockfile" in text
    assert re.search(r"^USER 10001:10001$", text, re.MULTILINE)


def test_what_the_image_needs_is_sent_to_the_builder_and_nothing_else():
    assert [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line] == [
        "*",
        "!manage.py",
        "!requirements.txt",
        "!deploy",
        "!optifit",
        "!docker",
        "!docs/openapi.json",
        "docker/secrets",
        "**/__pycache__",
    ]


def test_pre_commit_runs_what_is_there():
    assert run("pre-commit", "validate-config", ".pre-commit-config.yaml").returncode == 0
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    for hook in repository["hooks"]:
        assert (BIN / hook["entry"].split()[0].removeprefix(".venv/bin/")).is_file()
