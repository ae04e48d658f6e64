from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from deploy.assets import plan_upload, read_release_manifest, upload
from deploy.buckets.base import Bucket, BucketError, ObjectInfo
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.reporting.findings import FindingType, Refusal
from deploy.reporting.report import Step

from .conftest import LOGO, Site

Send = Callable[..., Step]
IMMUTABLE = "public, max-age=31536000, immutable"
LOST = FindingType("deploy.L999", "error", "The lock is lost.", "Run it again.")


class Faulty(LocalBucket):
    """A bucket some of whose writes fail or are lost, by object name."""

    def __init__(self, bucket: LocalBucket, *, fails: str = "", loses: str = "") -> None:
        super().__init__(bucket.url.removeprefix("file://"))
        self.fails, self.loses = fails, loses
        self.written: list[str] = []

    def put(
        self,
        name: str,
        data: bytes,
        *,
        if_generation: int | None = None,
        content_type: str = "application/octet-stream",
        cache_control: str = "",
        content_encoding: str = "",
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        self.written.append(name)
        if self.fails and self.fails in name:
            raise BucketError("503 Service Unavailable")
        info = super().put(
            name,
            data,
            if_generation=if_generation,
            content_type=content_type,
            cache_control=cache_control,
            content_encoding=content_encoding,
            metadata=metadata,
        )
        if self.loses and self.loses in name:
            self.delete(name)
        return info


def refused(error: pytest.ExceptionInfo[Refusal]) -> list[str]:
    return [finding.id for finding in error.value.findings]


def manifests(bucket: Bucket) -> list[str]:
    return [info.name for info in bucket.list("static-manifests/")]


def test_every_file_is_stored_with_its_headers_and_the_manifest_names_it(
    bucket: LocalBucket, send: Send
) -> None:
    step = send(bucket)
    manifest = read_release_manifest(bucket, "r1")
    assert manifest is not None
    assert step.facts["sent"] == step.facts["files"] == 4
    assert step.facts["manifest"] == "static-manifests/r1.json"
    assert step.facts["manifest_sha256"] == manifest.sha256
    for entry in manifest.files.values():
        info = bucket.stat(entry.name)
        assert info is not None
        assert (info.size_bytes, info.crc32c, info.cache_control) == (
            entry.size_bytes,
            entry.crc32c,
            IMMUTABLE,
        )
    assert bucket.read(manifest.files["img/logo.svg"].name) == LOGO
    assert bucket.stat("css/site.css") is None  # plain names are not uploaded
    assert step.done == step.total


def test_the_manifest_is_written_last(bucket: LocalBucket, send: Send) -> None:
    faulty = Faulty(bucket)
    send(faulty)
    assert faulty.written[-1] == "static-manifests/r1.json"


def test_second_run_sends_nothing(bucket: LocalBucket, send: Send) -> None:
    send(bucket)
    faulty = Faulty(bucket)
    step = send(faulty)
    assert (step.facts["sent"], step.facts["present"]) == (0, 4)
    assert faulty.written == []


def test_next_release_sends_only_what_changed_and_leaves_the_old_files(
    bucket: LocalBucket, send: Send, site: Site
) -> None:
    send(bucket)
    site.write("css/base.css", "html { margin: 1px }\n")
    step = send(bucket, release="r2")
    assert step.facts["sent"] == 2  # base.css, and site.css that names it
    for release in ("r1", "r2"):
        manifest = read_release_manifest(bucket, release)
        assert manifest is not None
        assert all(bucket.stat(entry.name) for entry in manifest.files.values())


def test_a_recorded_release_is_immutable(bucket: LocalBucket, send: Send, site: Site) -> None:
    send(bucket)
    before = bucket.read("static-manifests/r1.json")
    site.write("css/base.css", "html { margin: 1px }\n")
    with pytest.raises(Refusal) as error:
        send(bucket)
    assert refused(error) == ["deploy.A010"]
    assert error.value.exit_code == 1
    assert bucket.read("static-manifests/r1.json") == before


def test_manifest_that_another_upload_recorded_meanwhile(
    bucket: LocalBucket, send: Send, site: Site, conf: DeployConf
) -> None:
    early = plan_upload(conf, bucket, release="r1")
    send(bucket)
    assert send(bucket, plan=early).ok  # the same content: fine
    site.write("css/base.css", "html { margin: 1px }\n")
    other = plan_upload(conf, LocalBucket(f"{site.folder}-elsewhere"), release="r1")
    with pytest.raises(Refusal) as error:
        send(bucket, plan=other)
    assert refused(error) == ["deploy.A010"]


def test_file_that_cannot_be_sent_means_no_manifest_and_the_next_run_finishes(
    bucket: LocalBucket, send: Send
) -> None:
    with pytest.raises(Refusal) as error:
        send(Faulty(bucket, fails="css/base"))
    assert refused(error) == ["deploy.A012"]
    assert "503" in error.value.findings[0].message
    assert manifests(bucket) == []
    step = send(bucket)
    assert step.facts["sent"] == 1
    assert manifests(bucket) == ["static-manifests/r1.json"]


def test_gives_up_when_file_after_file_fails(bucket: LocalBucket, send: Send, site: Site) -> None:
    for number in range(200):
        site.write(f"many/{number}.txt", str(number))
    faulty = Faulty(bucket, fails="many/")
    with pytest.raises(Refusal):
        send(faulty)
    assert len(faulty.written) < 50


def test_file_that_is_gone_after_the_upload(bucket: LocalBucket, send: Send) -> None:
    with pytest.raises(Refusal) as error:
        send(Faulty(bucket, loses="css/base"))
    assert refused(error) == ["deploy.A013"]
    assert "is missing" in error.value.findings[0].message
    assert manifests(bucket) == []


def test_hashed_name_taken_by_other_content_after_the_plan(
    bucket: LocalBucket, send: Send, conf: DeployConf
) -> None:
    plan = plan_upload(conf, bucket, release="r1")
    bucket.put(plan.to_send[0].name, b"something else")
    with pytest.raises(Refusal) as error:
        send(bucket, plan=plan)
    assert refused(error) == ["deploy.A005"]
    assert bucket.read(plan.to_send[0].name) == b"something else"
    assert manifests(bucket) == []


def test_errors_of_the_plan_stop_it_before_the_first_write(
    bucket: LocalBucket, send: Send, site: Site
) -> None:
    site.write("css/one.css", "a { background: url(gone.png) }")
    faulty = Faulty(bucket)
    with pytest.raises(Refusal) as error:
        send(faulty)
    assert refused(error) == ["deploy.A001"]
    assert faulty.written == []


def test_deployer_that_lost_its_lock_stops_before_its_next_write(bucket: LocalBucket, send: Send) -> None:
    calls: list[int] = []
    counting = threading.Lock()

    def guard() -> None:
        with counting:
            calls.append(1)
            if len(calls) > 2:
                raise Refusal(LOST(), exit_code=75)

    faulty = Faulty(bucket)
    with pytest.raises(Refusal) as error:
        send(faulty, guard=guard)
    assert error.value.exit_code == 75
    assert len(faulty.written) == 2
    assert manifests(bucket) == []


def test_headers_that_drifted_are_put_right_without_losing_the_object(
    bucket: LocalBucket, send: Send, conf: DeployConf
) -> None:
    send(bucket)
    manifest = read_release_manifest(bucket, "r1")
    assert manifest is not None
    name = manifest.files["img/logo.svg"].name
    bucket.put(name, LOGO, content_type="text/plain")
    assert send(bucket).facts["sent"] == 1
    info = bucket.stat(name)
    assert info is not None
    assert (info.content_type, info.cache_control) == ("image/svg+xml", IMMUTABLE)


def test_unhashed_file_is_replaced_by_the_next_release(bucket: LocalBucket, send: Send, site: Site) -> None:
    send(bucket, unhashed=("robots.txt",))
    site.write("robots.txt", "User-agent: none\n")
    send(bucket, release="r2", unhashed=("robots.txt",))
    assert bucket.read("robots.txt") == b"User-agent: none\n"


def test_unhashed_file_that_somebody_changed_meanwhile(
    bucket: LocalBucket, send: Send, conf: DeployConf, site: Site
) -> None:
    conf = replace(conf, static_unhashed=("robots.txt",))
    plan = plan_upload(conf, bucket, release="r1")
    bucket.put("robots.txt", b"theirs")
    with pytest.raises(Refusal) as error:
        upload(plan, bucket, conf=conf, guard=lambda: None, step=Step("static"))
    assert refused(error) == ["deploy.A014"]
    assert bucket.read("robots.txt") == b"theirs"


def test_two_uploads_of_two_releases_at_once_are_both_whole(
    bucket: LocalBucket, conf: DeployConf, site: Site
) -> None:
    for number in range(40):
        site.write(f"many/{number}.txt", str(number))
    plans = [plan_upload(conf, bucket, release=release) for release in ("r1", "r2", "r2")]

    def run(number: int) -> None:
        upload(plans[number], bucket, conf=conf, guard=lambda: None, step=Step("static"))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(run, range(3)))
    for release in ("r1", "r2"):
        manifest = read_release_manifest(bucket, release)
        assert manifest is not None
        for entry in manifest.files.values():
            info = bucket.stat(entry.name)
            assert info is not None
            assert info.crc32c == entry.crc32c


def test_nothing_to_serve_is_a_skipped_step(bucket: LocalBucket, send: Send, settings: object) -> None:
    settings.STATIC_URL = None  # type: ignore[attr-defined]  # pytest-django's
    step = send(bucket)
    assert step.skipped == "STATIC_URL is not set"
    assert step.facts == {}
