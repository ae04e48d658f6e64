"""Files of an application, with every generation that the store still has."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.buckets.base import BucketError, ObjectMissing, PreconditionFailed
from deploy.buckets.gcs_versions import GCSVersions
from deploy.buckets.plain_folder import PlainFolder
from deploy.buckets.streams import crc32c
from deploy.buckets.versions import open_versions
from deploy.reporting.findings import Refusal
from deploy.testing import Fault, GCSServer

NAMES = ("a", "a-b", "a/b", "a b/ö.jpg", "a.b", "z/ü", "Z", "名前")


@pytest.fixture
def server() -> Iterator[GCSServer]:
    with GCSServer(page_size=3) as server:
        server.store.create_bucket("versioned-media", versioning=True)
        server.store.create_bucket("soft-media", soft_delete=True)
        server.store.create_bucket("both-media", versioning=True, soft_delete=True)
        yield server


def store(server: GCSServer, bucket: str, prefix: str = "") -> GCSVersions:
    return GCSVersions(bucket, prefix, client=server.client(), retry_seconds=5)


def put(server: GCSServer, bucket: str, name: str, data: bytes) -> int:
    blob = server.client().bucket(bucket).blob(name)
    blob.upload_from_string(data, content_type="image/png")
    return int(blob.generation)


def test_any_name_is_listed_in_the_order_of_its_bytes(server: GCSServer) -> None:
    for name in NAMES:
        put(server, "versioned-media", f"media/{name}", name.encode())
    put(server, "versioned-media", "mediaX", b"")
    listed = list(store(server, "versioned-media", "media").live())
    assert [version.name for version in listed] == sorted((f"media/{name}" for name in NAMES), key=str.encode)
    assert listed[0].crc32c == crc32c(listed[0].name.removeprefix("media/").encode())


def test_a_folder_is_listed_like_a_bucket(tmp_path: Path) -> None:
    names = [name for name in NAMES if name not in ("a", "a b/ö.jpg")] + ["b", "a b/ö.jpg", "b.c/d"]
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True, parents=True)
        (tmp_path / name).write_bytes(name.encode())
    os.utime(tmp_path / "b", ns=(5, 7))
    (tmp_path / "link").symlink_to("b")
    (tmp_path / "out").symlink_to("/etc")
    os.mkfifo(tmp_path / "pipe")
    listed = list(PlainFolder(tmp_path).live())
    assert [version.name for version in listed] == sorted(names, key=str.encode)
    found = {version.name: version for version in listed}
    assert (found["b"].generation, found["b"].size_bytes, found["b"].crc32c) == (7, 1, crc32c(b"b"))


def test_a_name_that_is_no_utf8_is_listed_too(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"caf\xe9")).write_bytes(b"x")
    (version,) = PlainFolder(tmp_path).every()
    assert version.key == b"caf\xe9"


def test_a_folder_that_is_not_there_is_empty_and_one_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    assert list(PlainFolder(tmp_path / "none").live()) == []
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(BucketError, match="could not list"):
        list(PlainFolder(tmp_path / "file").live())
    version = next(iter(PlainFolder(tmp_path).live()))
    with pytest.raises(ObjectMissing):
        PlainFolder(tmp_path).bring_back(version, if_generation=0)


@pytest.mark.parametrize(
    ("bucket", "state"), [("versioned-media", "noncurrent"), ("soft-media", "soft-deleted")]
)
def test_an_overwritten_and_a_deleted_file_come_back(server: GCSServer, bucket: str, state: str) -> None:
    first = put(server, bucket, "m/über", b"first")
    second = put(server, bucket, "m/über", b"second")
    put(server, bucket, "m/gone", b"gone")
    server.client().bucket(bucket).blob("m/gone").delete()
    media = store(server, bucket, "m")
    older = media.every() if state == "noncurrent" else media.soft_deleted()
    found = {(version.name, version.state): version for version in older}
    assert found["m/über", state].generation == first
    with pytest.raises(PreconditionFailed):
        media.bring_back(found["m/über", state], if_generation=0)
    media.bring_back(found["m/über", state], if_generation=second)
    media.bring_back(found["m/gone", state], if_generation=0)
    live = server.store.bucket(bucket)
    assert (live["m/über"].data, live["m/gone"].data) == (b"first", b"gone")
    assert live["m/gone"].content_type == "image/png"
    assert live["m/über"].generation > second


@pytest.mark.parametrize("bucket", ["versioned-media", "soft-media"])
def test_a_lost_answer_is_no_failure(server: GCSServer, bucket: str) -> None:
    put(server, bucket, "x", b"x")
    server.client().bucket(bucket).blob("x").delete()
    media = store(server, bucket)
    (version,) = [*media.every(), *media.soft_deleted()]
    server.faults.add(Fault(lose_response=True), when=lambda request: request.method == "POST")
    media.bring_back(version, if_generation=0)
    assert server.store.bucket(bucket)["x"].data == b"x"


def test_what_is_deleted_for_good_is_missing(server: GCSServer) -> None:
    put(server, "versioned-media", "x", b"x")
    handle = server.client().bucket("versioned-media")
    handle.blob("x").delete()
    media = store(server, "versioned-media")
    (version,) = media.every()
    handle.blob("x", generation=version.generation).delete()
    assert list(media.every()) == []
    with pytest.raises(ObjectMissing):
        media.bring_back(version, if_generation=0)


def test_versions_of_a_name_come_from_old_to_new_over_pages(server: GCSServer) -> None:
    made = [put(server, "both-media", "x", b"%d" % number) for number in range(8)]
    put(server, "both-media", "y", b"")
    assert [version.generation for version in store(server, "both-media").every()][:8] == made
    assert [version.state for version in store(server, "both-media").every()] == ["noncurrent"] * 7 + [
        "live"
    ] * 2


def test_addresses() -> None:
    assert isinstance(open_versions("file:///srv/media"), PlainFolder)
    assert open_versions("gs://some-media/sub/folder").prefix == "sub/folder/"
    assert open_versions("gs://some-media").prefix == ""
    with pytest.raises(Refusal, match=r"deploy\.K001"):
        open_versions("s3://other")
