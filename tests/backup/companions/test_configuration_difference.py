"""`backups configuration`: what was, and what is different now."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.test import override_settings

from deploy.backup.companions.configuration_difference import differences, write_out

from .conftest import Command

OLD = "projects/p/secrets/s/versions/1"
NEW = "projects/p/secrets/s/versions/2"


def document(**changes: Any) -> dict[str, Any]:
    return {
        "release": "v1",
        "image": "sha256:abc",
        "python": "3.11.2",
        "packages": {"Django": "5.2.1"},
        "settings": {
            "DEBUG": False,
            "CACHES": {"default": {"TIMEOUT": 5}},
            "EMPTY": {},
            "A_KEY": {"secret": OLD},
        },
        "deploy": {"owner": "me@here:1"},
        "files": {"compose.yaml": {"text": "a: 1\nb: 2\n", "size_bytes": 10, "mode": "0644"}},
        "terraform_state": {"generation": 5},
        **changes,
    }


def test_nothing_is_different_from_itself() -> None:
    found = differences(document(), document(deploy={"owner": "you@there:2"}))
    assert found == {"differences": [], "file_differences": [], "secrets_not_comparable": []}


def test_every_kind_of_difference_is_a_row() -> None:
    unknown = {"secret": "not recorded"}
    then = document()
    then["settings"] = {**then["settings"], "OLD": 1, "TOKEN": unknown}
    now = document(
        release="v2",
        packages={"Django": "5.2.2", "extra": "1"},
        settings={
            "DEBUG": True,
            "CACHES": {"default": {"TIMEOUT": 6}},
            "EMPTY": {},
            "A_KEY": {"secret": NEW},
            "TOKEN": unknown,
        },
        files={"compose.yaml": {"text": "a: 1\nb: 3\n", "size_bytes": 10, "mode": "0644"}},
        terraform_state={"generation": 6},
    )
    found = differences(then, now)
    assert [(row["what"], row["then"], row["now"]) for row in found["differences"]] == [
        ("packages.Django", "5.2.1", "5.2.2"),
        ("packages.extra", "(absent)", "1"),
        ("release", "v1", "v2"),
        ("settings.A_KEY", f"secret, {OLD}", f"secret, {NEW}"),
        ("settings.CACHES.default.TIMEOUT", "5", "6"),
        ("settings.DEBUG", "false", "true"),
        ("settings.OLD", "1", "(absent)"),
        ("terraform state generation", "5", "6"),
    ]
    assert found["file_differences"][-3:] == [" a: 1", "-b: 2", "+b: 3"]
    assert found["secrets_not_comparable"] == ["settings.TOKEN"]


def test_it_is_written_into_a_new_folder_only(tmp_path: Path) -> None:
    kept = document(files={"docker/Caddyfile": {"text": "a\r\nö", "size_bytes": 5, "mode": "0644"}})
    folder = tmp_path / "out"
    written = write_out(kept, folder)
    assert [str(path.relative_to(folder)) for path in written] == [
        "configuration.json",
        "files/docker/Caddyfile",
    ]
    assert (folder / "files/docker/Caddyfile").read_bytes() == "a\r\nö".encode()
    assert json.loads((folder / "configuration.json").read_text())["release"] == "v1"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    with pytest.raises(FileExistsError):
        write_out(kept, folder)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", ""])
def test_it_never_writes_outside(tmp_path: Path, path: str) -> None:
    with pytest.raises(ValueError, match="leads out"):
        write_out(document(files={path: {"text": "", "size_bytes": 0, "mode": "0644"}}), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


def test_the_command_shows_compares_and_writes(
    live: str, command: Command, tmp_path: Path, query: Callable[..., list[Any]]
) -> None:
    with override_settings(SOME_LIMIT=5):
        assert command("backupdb")[0] == 0
    code, report = command("backups", "configuration", "latest")
    facts = report["steps"][0]["facts"]
    assert (code, report["steps"][1:]) == (0, []), report["steps"][-1]["findings"][0]["message"]
    assert facts["python"].startswith("3.")
    assert {"setting": "SECRET_KEY", "version": "not recorded"} in facts["secrets"]

    out = ("--into", str(tmp_path / "out"))
    with override_settings(SOME_LIMIT=7):
        code, report = command("backups", "configuration", "latest", "--diff", *out)
    facts = report["steps"][0]["facts"]
    assert (code, facts["differences"]) == (
        0,
        [{"what": "settings.SOME_LIMIT", "then": "5", "now": "7"}],
    )
    assert "settings.SECRET_KEY" in facts["secrets_not_comparable"]
    assert (tmp_path / "out" / "configuration.json").is_file()

    code, report = command("backups", "configuration", "latest", *out)
    assert (code, report["steps"][0]["findings"][0]["id"]) == (2, "deploy.R002")
