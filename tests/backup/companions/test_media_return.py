"""`backups media`: which files of a backup are still there, and how older generations come back."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps

from deploy.backup.companions import Folder, media_return
from deploy.backup.companions.media import MediaKeeper
from deploy.backup.manifest import Manifest
from deploy.conf import DeployConf
from deploy.reporting.findings import Refusal
from deploy.reporting.report import Step
from deploy.testing import Fault, GCSServer

from .conftest import Command


class Media:
    """A bucket of the GCS server, by a name of its own (`open_versions` makes its own client)."""

    def __init__(self, server: GCSServer, **policies: bool) -> None:
        self.server = server
        self.name = f"media-{secrets.token_hex(4)}"
        server.store.create_bucket(self.name, **policies)
        self._bucket = server.client().bucket(self.name)

    @property
    def url(self) -> str:
        return f"gs://{self.name}/m"

    def put(self, name: str, data: str) -> None:
        self._bucket.blob(f"m/{name}").upload_from_string(data)

    def delete(self, name: str) -> None:
        self._bucket.blob(f"m/{name}").delete()

    def live(self) -> dict[str, str]:
        found = self.server.store.bucket(self.name)
        return {name.removeprefix("m/"): stored.data.decode() for name, stored in found.items()}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GCSServer]:
    with GCSServer(page_size=4) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        monkeypatch.setattr(apps, "get_models", lambda **_: [])
        yield server


@pytest.fixture(params=["versioning", "soft_delete"])
def media(server: GCSServer, request: pytest.FixtureRequest) -> Media:
    return Media(server, **{request.param: True})


@pytest.fixture
def backed_up(conf: DeployConf, folder: Folder) -> Callable[[str], Manifest]:
    """A backup that holds an inventory; its archive is of no interest here."""

    def take(url: str) -> Manifest:
        wanted = replace(conf, backup=replace(conf.backup, media_bucket=url, media_fields=()))
        companion = MediaKeeper(wanted).keep(folder, Step("backup"))
        part = folder.store("archive.dump.zst", iter([b"x"]))
        return Manifest(
            id=folder.backup_id,
            project=folder.identity.project,
            environment=folder.identity.environment,
            database=folder.identity.database,
            engine="postgresql",
            server_version="18",
            client_version="18",
            release="r",
            created=datetime.now(UTC),
            duration_seconds=1,
            parts=(part,),
            tables={},
            companions=(companion,),
        )

    return take


def surveyed(folder: Folder, manifest: Manifest) -> media_return.Survey:
    return media_return.survey(folder.bucket, manifest, step=Step("media"))


def bring(folder: Folder, manifest: Manifest, *, changed_too: bool = False) -> dict[str, Any]:
    step = Step("media")
    facts = media_return.bring_back(folder.bucket, manifest, changed_too=changed_too, threads=3, step=step)
    return {**facts, "findings": [finding.id for finding in step.findings]}


BEFORE = {"a": "1", "a b/ö": "2", "deleted": "3", "overwritten": "4", "same again": "5", "z/deleted": "6"}


def change(media: Media) -> None:
    media.delete("deleted")
    media.delete("z/deleted")
    media.put("overwritten", "other")
    media.put("same again", "5")
    media.put("new", "new")


def test_what_was_deleted_or_overwritten_is_found_and_comes_back(
    media: Media, folder: Folder, backed_up: Callable[[str], Manifest]
) -> None:
    for name, data in BEFORE.items():
        media.put(name, data)
    manifest = backed_up(media.url)
    assert surveyed(folder, manifest).facts()["there"] == 6
    change(media)
    found = surveyed(folder, manifest)
    assert found.counts == {
        "there": 3,
        "missing": 2,
        "changed": 1,
        "missing for good": 0,
        "changed for good": 0,
    }
    assert [(one.id, one.level) for one in found.findings("ID")] == [("deploy.B074", "warning")]
    assert found.facts()["recoverable_bytes"] == 3

    done = bring(folder, manifest)
    assert (done["brought_back"], done["brought_back_bytes"], done["failed"]) == (2, 2, 0)
    assert media.live() == {**BEFORE, "overwritten": "other", "new": "new"}
    assert bring(folder, manifest)["brought_back"] == 0
    assert surveyed(folder, manifest).counts["changed"] == 1

    assert bring(folder, manifest, changed_too=True)["brought_back"] == 1
    assert media.live() == {**BEFORE, "new": "new"}
    assert surveyed(folder, manifest).counts["there"] == 6
    # What was live is an older generation now: nothing was lost by bringing back.
    soft = media.server.store.generations(media.name, soft_deleted=True)
    every = [*media.server.store.generations(media.name), *soft]
    assert b"other" in {stored.data for stored in every}


def test_without_older_generations_they_are_gone(
    server: GCSServer, folder: Folder, backed_up: Callable[[str], Manifest]
) -> None:
    media = Media(server)
    for name, data in BEFORE.items():
        media.put(name, data)
    manifest = backed_up(media.url)
    change(media)
    found = surveyed(folder, manifest)
    assert found.counts["missing for good"] == 2
    assert found.counts["changed for good"] == 1
    (finding,) = found.findings("ID")
    assert (finding.id, finding.level) == ("deploy.B072", "error")
    assert "3 of the 6 files" in finding.message
    assert "m/z/deleted" in finding.message
    assert bring(folder, manifest)["brought_back"] == 0


def test_another_writer_is_never_overwritten(
    media: Media, folder: Folder, backed_up: Callable[[str], Manifest], monkeypatch: pytest.MonkeyPatch
) -> None:
    media.put("deleted", "1")
    manifest = backed_up(media.url)
    media.delete("deleted")
    verdicts = list(media_return._verdicts(folder.bucket, manifest, store := opened(media), Step("x")))
    media.put("deleted", "of somebody else")
    monkeypatch.setattr(media_return, "_verdicts", lambda *_: iter(verdicts))
    assert bring(folder, manifest) == {
        "brought_back": 0,
        "brought_back_bytes": 0,
        "left": 1,
        "failed": 0,
        "findings": [],
    }
    assert media.live() == {"deleted": "of somebody else"}
    assert store.url == media.url


def opened(media: Media) -> Any:
    from deploy.buckets.versions import open_versions

    return open_versions(media.url)


def test_a_failure_is_told_and_the_rest_comes_back(
    media: Media, folder: Folder, backed_up: Callable[[str], Manifest]
) -> None:
    for name, data in BEFORE.items():
        media.put(name, data)
    manifest = backed_up(media.url)
    change(media)
    media.server.faults.add(
        Fault(status=403), when=lambda request: request.method == "POST" and "z%2Fdeleted" in request.path
    )
    done = bring(folder, manifest)
    assert (done["brought_back"], done["failed"], done["findings"]) == (1, 1, ["deploy.K002"])
    assert bring(folder, manifest)["brought_back"] == 1


def test_a_folder_is_checked_by_content(
    folder: Folder, backed_up: Callable[[str], Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(apps, "get_models", lambda **_: [])
    root = tmp_path / "media"
    root.mkdir()
    for name in ("kept", "touched", "changed", "deleted"):
        (root / name).write_text(name)
    manifest = backed_up(f"file://{root}")
    (root / "touched").write_text("touched")
    (root / "changed").write_text("other")
    (root / "deleted").unlink()
    counts = surveyed(folder, manifest).counts
    assert (counts["there"], counts["changed for good"], counts["missing for good"]) == (2, 1, 1)


@pytest.mark.parametrize("line", [b"[1]\n", b"no json\n", b'["a", 1, "x", 1]', b'["a", "b", "x", 1]\n'])
def test_a_damaged_inventory_is_refused(
    folder: Folder, backed_up: Callable[[str], Manifest], tmp_path: Path, line: bytes
) -> None:
    manifest = backed_up(f"file://{tmp_path}/media")
    part = folder.store("damaged.jsonl.zst", iter([line]))
    (companion,) = manifest.companions
    damaged = replace(manifest, companions=(replace(companion, part=part),))
    with pytest.raises(Refusal, match=r"deploy\.B004"):
        surveyed(folder, damaged)


def test_a_backup_without_an_inventory_says_so(
    folder: Folder, server: GCSServer, backed_up: Callable[[str], Manifest]
) -> None:
    with pytest.raises(Refusal, match=r"deploy\.B073.*does not exist"):
        surveyed(folder, backed_up("gs://not-a-bucket-of-anybody"))


def test_the_command_plans_brings_back_and_says_what_is_left(
    media: Media, live: str, command: Command
) -> None:
    for name, data in BEFORE.items():
        media.put(name, data)
    assert command("backupdb", MEDIA_BUCKET=media.url)[0] == 0
    change(media)
    code, report = command("backups", "media", "latest", MEDIA_BUCKET=media.url)
    (step,) = report["steps"]
    assert (code, [finding["id"] for finding in step["findings"]]) == (0, ["deploy.B074"])
    assert (step["facts"]["missing"], step["facts"]["changed"], step["facts"]["gone"]) == (2, 1, 0)

    arguments = ("backups", "media", "latest", "--bring-back")
    code, report = command(*arguments, "--dry-run", MEDIA_BUCKET=media.url)
    assert (code, report["steps"][0]["facts"]["bring_back"]) == (0, 2)
    assert "deleted" not in media.live()

    code, report = command(*arguments, MEDIA_BUCKET="gs://some-other-bucket")
    assert (code, report["steps"][0]["findings"][0]["id"]) == (2, "deploy.R002")

    code, report = command(*arguments, "--changed-too", MEDIA_BUCKET=media.url)
    assert (code, [step["name"] for step in report["steps"]]) == (0, ["bring back", "backups media"])
    assert report["steps"][1]["facts"]["there"] == 6
    assert media.live() == {**BEFORE, "new": "new"}


def test_the_command_refuses_what_makes_no_sense(live: str, command: Command) -> None:
    assert command("backupdb")[0] == 0
    assert command("backups", "media", "latest", "--dry-run")[0] == 2
    code, report = command("backups", "media", "latest")
    assert (code, report["steps"][0]["findings"][0]["id"]) == (2, "deploy.B073")


def test_killed_while_files_come_back_the_next_run_goes_on(
    media: Media, folder: Folder, backed_up: Callable[[str], Manifest], tmp_path: Path
) -> None:
    for name, data in BEFORE.items():
        media.put(name, data)
    manifest = backed_up(media.url)
    saved = tmp_path / "manifest.json"
    saved.write_bytes(manifest.to_bytes())
    for name in BEFORE:
        media.delete(name)
    argv = [sys.executable, "-m", "tests.backup.companions.subject", str(tmp_path / "bucket"), str(saved)]
    with subprocess.Popen(argv, cwd=Path(__file__).parents[3], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "reached\n"
        finally:
            process.kill()

    back = media.live()
    assert back
    assert back.items() < BEFORE.items()  # each is whole, and not all of them are there
    done = bring(folder, manifest)
    assert (done["brought_back"], done["failed"], done["findings"]) == (len(BEFORE) - len(back), 0, [])
    assert media.live() == BEFORE
