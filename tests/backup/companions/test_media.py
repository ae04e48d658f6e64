"""The inventory of the media bucket, and the names in the database held against it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.apps import apps
from django.core.files.storage import storages
from django.db import connections
from django.db.models import Model
from storages.backends.gcloud import GoogleCloudStorage

from deploy.backup.companions import Folder, media
from deploy.backup.companions.media import MediaKeeper
from deploy.backup.companions.media_inventory import Comparison, compare
from deploy.backup.manifest import Companion
from deploy.buckets.base import BucketError
from deploy.buckets.streams import crc32c
from deploy.buckets.versions import Version
from deploy.conf import DeployConf
from deploy.databases import postgresql as database
from deploy.reporting.report import Step
from deploy.testing import Fault, GCSServer

from . import media_models

Stored = Callable[[Companion], bytes]
Models = Callable[[list[type[Model]]], None]
Query = Callable[..., list[Any]]


@pytest.fixture
def models(monkeypatch: pytest.MonkeyPatch) -> Models:
    """Make these the project's models."""
    return lambda found: monkeypatch.setattr(apps, "get_models", lambda **_: found)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "media"
    root.mkdir()
    return root


def fill(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(name.encode())


def kept(conf: DeployConf, folder: Folder, url: str, **backup: Any) -> tuple[Companion, Step]:
    step = Step("backup")
    backup = {"media_bucket": url, "media_fields": (), **backup}  # OptiFit's own fields are not there
    wanted = replace(conf, backup=replace(conf.backup, **backup))
    return MediaKeeper(wanted).keep(folder, step), step


def inventory(raw: bytes) -> list[list[Any]]:
    return [json.loads(line) for line in raw.splitlines()]


def ids(step: Step) -> list[tuple[str, str]]:
    return [(finding.id, finding.level) for finding in step.findings]


DATA = """
INSERT INTO doc_document VALUES (1, 'by/1/a.txt', NULL), (2, 'by/2/gone.txt', ''), (3, 'by/1/a.txt', 'Z.png'),
    (4, 'by/4/über – ☺.txt', 'by/é.png'), (5, 'a-b', 'a/b'), (6, '../escape', 'a//b');
INSERT INTO doc_photo VALUES (3, 'p.png'), (4, 'gone.png');
INSERT INTO doc_elsewhere VALUES (1, 'not-here');
INSERT INTO doc_plain VALUES (1, 'by/plain'), (2, 'by/plain-gone');
"""
THERE = ("by/1/a.txt", "Z.png", "by/4/über – ☺.txt", "a-b", "a/b", "sub/folder/p.png", "by/plain", "by/stray")
MISSING = ["by/2/gone.txt", "by/plain-gone", "by/é.png", "sub/folder/gone.png"]


def assert_found(companion: Companion, step: Step, *, in_snapshot: bool) -> None:
    facts = companion.facts
    assert facts["missing_names"] == MISSING
    assert (facts["missing"], facts["referenced"], facts["unreferenced"]) == (4, 7, 1)
    assert (facts["objects"], facts["names_not_checked"]) == (8, 2)
    assert facts["fields"] == [
        "optifit.Document.file",
        "optifit.Document.scan",
        "optifit.Photo.picture",
        "optifit.Plain.object_name",
    ]
    assert facts["fields_elsewhere"] == ["optifit.Elsewhere.file"]
    assert facts["fields_not_there"] == ["optifit.Unmigrated.file"]
    assert facts["in_snapshot"] is in_snapshot
    assert ids(step) == [("deploy.B068", "warning"), ("deploy.B069", "info")]
    assert "4 files" in step.findings[0].message
    assert "by/2/gone.txt, by/plain-gone" in step.findings[0].message


PLAIN = ("optifit.Plain.object_name",)


def test_a_folder_is_inventoried_and_compared(
    conf: DeployConf, folder: Folder, root: Path, models: Models, query: Query, stored: Stored, settings: Any
) -> None:
    settings.MEDIA_ROOT = str(root)
    models(media_models.make(*media_models.folder_storages(root)))
    query(media_models.TABLES + DATA)
    fill(root, *THERE)
    companion, step = kept(conf, folder, f"file://{root}", media_fields=PLAIN)
    assert_found(companion, step, in_snapshot=False)
    found = inventory(stored(companion))
    assert [name for name, *_ in found] == sorted(THERE, key=str.encode)
    stat = (root / "a-b").stat()
    assert ["a-b", stat.st_mtime_ns, crc32c(b"a-b"), 3] in found


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[GCSServer]:
    with GCSServer("the-media", page_size=3) as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield server


def test_a_bucket_is_inventoried_and_compared_in_the_dumps_own_snapshot(
    conf: DeployConf,
    folder: Folder,
    server: GCSServer,
    models: Models,
    query: Query,
    stored: Stored,
    settings: Any,
) -> None:
    settings.STORAGES = {
        **settings.STORAGES,
        "default": {
            "BACKEND": "storages.backends.gcloud.GoogleCloudStorage",
            "OPTIONS": {"bucket_name": "the-media", "location": "m"},
        },
    }
    main = GoogleCloudStorage(bucket_name="the-media", location="m")
    nested = GoogleCloudStorage(bucket_name="the-media", location="m/sub/folder/")
    models(media_models.make(main, nested, GoogleCloudStorage(bucket_name="other-media")))
    query(media_models.TABLES + DATA)
    for name in THERE:
        server.store.insert("the-media", f"m/{name}", name.encode(), {}, no_preconditions())
    server.store.insert("the-media", "outside", b"", {}, no_preconditions())
    with database.connect(conf.database, autocommit=False) as connection:
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        ((snapshot,),) = connection.execute("SELECT pg_export_snapshot()").fetchall()
        query("DELETE FROM doc_document; INSERT INTO doc_plain VALUES (9, 'made-since')")
        companion, step = kept(
            conf, replace(folder, snapshot=snapshot), "gs://the-media/m", media_fields=PLAIN
        )
    companion.facts["missing_names"] = [name.removeprefix("m/") for name in companion.facts["missing_names"]]
    step.findings[0] = replace(step.findings[0], message=step.findings[0].message.replace(" m/", " "))
    assert_found(companion, step, in_snapshot=True)
    found = inventory(stored(companion))
    live = server.store.bucket("the-media")
    assert found == [
        [name, live[name].generation, live[name].crc32c, len(live[name].data)]
        for name in sorted((f"m/{name}" for name in THERE), key=str.encode)
    ]


def no_preconditions() -> Any:
    from deploy.testing.gcs_objects import Preconditions

    return Preconditions()


def test_sqlite_is_compared_too(
    conf: DeployConf, folder: Folder, root: Path, tmp_path: Path, models: Models, settings: Any
) -> None:
    settings.MEDIA_ROOT = str(root)
    models(media_models.make(*media_models.folder_storages(root)))
    fill(root, *THERE)
    copy = tmp_path / "copy.sqlite3"
    with closing(sqlite3.connect(copy)) as connection:
        connection.executescript(media_models.TABLES + DATA)
    entry = {
        **connections.settings["default"],
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": tmp_path / "none",
    }
    connections.settings["media_sqlite"] = entry
    try:
        companion, step = kept(
            replace(conf, database="media_sqlite"),
            replace(folder, snapshot=str(copy)),
            f"file://{root}",
            media_fields=PLAIN,
        )
    finally:
        del connections["media_sqlite"]
        del connections.settings["media_sqlite"]
    assert_found(companion, step, in_snapshot=True)


def test_strictness_makes_a_missing_file_an_error(
    conf: DeployConf, folder: Folder, root: Path, models: Models, query: Query
) -> None:
    models(media_models.make(*media_models.folder_storages(root)))
    query(media_models.TABLES + DATA)
    _, step = kept(conf, folder, f"file://{root}", media_strict=True)
    assert ids(step) == [("deploy.B068", "error")]


def test_an_unknown_field_leaves_the_inventory_without_its_check(
    conf: DeployConf, folder: Folder, root: Path, stored: Stored
) -> None:
    fill(root, "a")
    companion, step = kept(conf, folder, f"file://{root}", media_fields=("optifit.Image.nothing",))
    assert ids(step) == [("deploy.B071", "warning")]
    assert "optifit.Image.nothing" in step.findings[0].message
    assert [name for name, *_ in inventory(stored(companion))] == ["a"]
    assert companion.facts["checked"] is False


def test_a_storage_that_is_not_configured_leaves_the_inventory_without_its_check(
    conf: DeployConf, folder: Folder, root: Path, stored: Stored, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(media, "file_fields", lambda _: storages["gone"])  # as a lazy default storage does
    fill(root, "a")
    companion, step = kept(conf, folder, f"file://{root}")
    assert ids(step) == [("deploy.B071", "warning")]
    assert [name for name, *_ in inventory(stored(companion))] == ["a"]


def test_a_snapshot_that_is_over_leaves_the_inventory_without_its_check(
    conf: DeployConf, folder: Folder, root: Path, models: Models, query: Query, stored: Stored
) -> None:
    models(media_models.make(*media_models.folder_storages(root)))
    fill(root, "a")
    companion, step = kept(conf, replace(folder, snapshot="00000003-0000001B-1"), f"file://{root}")
    assert ids(step) == [("deploy.B071", "warning")]
    assert [name for name, *_ in inventory(stored(companion))] == ["a"]


def test_a_bucket_that_cannot_be_listed_leaves_the_database_backed_up(
    conf: DeployConf, folder: Folder, server: GCSServer, models: Models
) -> None:
    models([])
    companion, step = kept(conf, folder, "gs://not-the-media")
    assert ids(step) == [("deploy.B070", "warning")]
    assert companion.part is None
    for number in range(7):
        server.store.insert("the-media", f"{number}", b"", {}, no_preconditions())
    server.faults.add(Fault(status=403), when=lambda request: "pageToken" in request.query)
    companion, step = kept(conf, folder, "gs://the-media")
    assert ids(step) == [("deploy.B070", "warning")]
    assert companion.part is None
    assert list(folder.bucket.list()) == []  # no half of an inventory either


def test_an_error_of_the_backups_own_bucket_is_not_taken_for_the_medias(
    conf: DeployConf, folder: Folder, root: Path, models: Models
) -> None:
    models([])
    Path(folder.bucket.url.removeprefix("file://")).write_text("in the way")
    with pytest.raises(BucketError):
        kept(conf, folder, f"file://{root}")


def test_an_unsorted_listing_is_found_out() -> None:
    files = [Version("b", 1, 1, ""), Version("a", 1, 1, "")]
    with pytest.raises(ValueError, match="out of order"):
        list(compare(files, [], Comparison(), prefix=""))
    with pytest.raises(ValueError, match="out of order"):
        list(compare([], [b"b", b"a"], Comparison(), prefix=""))
