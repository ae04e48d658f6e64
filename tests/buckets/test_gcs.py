"""What GCS must do beyond the contract: survive the network, and keep its secrets."""

import threading
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import pytest

from deploy.buckets.base import BucketError, ObjectCorrupt, ObjectMissing, PreconditionFailed
from deploy.buckets.gcs import GCSBucket
from deploy.buckets.gcs_upload import CHUNK_BYTES
from deploy.testing import Fault
from deploy.testing.gcs_objects import Preconditions
from deploy.testing.gcs_uploads import CHUNK_UNIT_BYTES, ResumableUpload

BIG = bytes(range(256)) * (CHUNK_BYTES // 256 * 2 + 4096)  # two chunks and 1 MiB


def uploads(request):
    return request.is_upload


def chunks(request):
    return request.is_upload and request.method == "PUT"


def downloads(request):
    return request.is_download


def test_objects_lie_below_the_prefix_only(gcs, server):
    gcs.put("name", b"")
    server.store.insert("test-bucket", "some/prefixed", b"", {}, Preconditions())
    assert set(server.store.bucket("test-bucket")) == {"some/prefix/name", "some/prefixed"}
    assert [info.name for info in gcs.list()] == ["name"]
    assert gcs.url == "gs://test-bucket/some/prefix"


def test_a_write_whose_answer_was_lost_is_not_refused_because_of_itself(gcs, server):
    server.faults.add(Fault(lose_response=True), when=uploads)
    written = gcs.put("lock", b"mine", if_generation=0, metadata={"owner": "me"})
    assert server.faults.pending == 0
    assert len([request for request in server.requests if request.is_upload]) == 2
    assert gcs.stat("lock") == written
    assert written.metadata == {"owner": "me"}

    server.faults.add(Fault(lose_response=True), when=uploads)
    replaced = gcs.put("lock", b"mine again", if_generation=written.generation)
    assert gcs.stat("lock") == replaced


def test_a_lost_answer_does_not_make_another_writers_object_ours(gcs, server):
    gcs.put("lock", b"theirs")
    server.faults.add(Fault(reset=True), when=uploads)
    with pytest.raises(PreconditionFailed):
        gcs.put("lock", b"mine", if_generation=0)
    assert gcs.read("lock") == b"theirs"


def test_of_many_writers_with_lost_answers_one_wins_and_knows(gcs, server):
    server.faults.add(Fault(lose_response=True), times=5, when=uploads)
    start = threading.Barrier(8)

    def create(number):
        start.wait()
        try:
            gcs.put("lock", str(number).encode(), if_generation=0)
        except PreconditionFailed:
            return None
        return number

    with ThreadPoolExecutor(8) as threads:
        winners = [number for number in threads.map(create, range(8)) if number is not None]
    assert gcs.read("lock") == str(winners[0]).encode()
    assert len(winners) == 1


def test_a_delete_whose_answer_was_lost_is_done(gcs, server):
    written = gcs.put("lock", b"")
    server.faults.add(Fault(lose_response=True), when=lambda request: request.method == "DELETE")
    gcs.delete("lock", if_generation=written.generation)
    assert gcs.stat("lock") is None


@pytest.mark.parametrize(
    "fault", [Fault(status=503), Fault(status=429), Fault(status=502), Fault(reset=True)], ids=str
)
def test_passing_failures_are_sat_out(gcs, server, fault):
    every = (
        ("put", lambda: gcs.put("name", b"body")),
        ("stat", lambda: gcs.stat("name")),
        ("read", lambda: gcs.read("name")),
        ("list", lambda: list(gcs.list())),
        ("delete", lambda: gcs.delete("name")),
    )
    for name, call in every:
        server.faults.add(fault)
        call()
        assert server.faults.pending == 0, name


def test_a_download_that_breaks_off_goes_on_where_it_stopped(gcs, server):
    gcs.put("name", BIG)
    server.faults.add(Fault(truncate_at_bytes=1_000_000), when=downloads)
    assert gcs.read("name") == BIG
    server.faults.add(Fault(truncate_at_bytes=1_000_000), when=downloads)
    with gcs.open_read("name") as stream:
        assert stream.read() == BIG
    ranges = [r.headers["range"] for r in server.requests if r.is_download and "range" in r.headers]
    assert f"bytes={1_000_000}-" in ranges


def test_damage_in_the_store_or_on_the_way_is_found(gcs, server):
    gcs.put("name", BIG)
    server.faults.add(Fault(flip_bit=True), when=downloads)
    with pytest.raises(ObjectCorrupt):
        gcs.read("name")
    server.store.damage("test-bucket", "some/prefix/name")
    with pytest.raises(ObjectCorrupt, match=r"name is damaged: stored .*, read "):
        gcs.read("name")
    with gcs.open_read("name") as stream, pytest.raises(ObjectCorrupt):
        stream.read()


def test_damage_is_found_in_a_download_that_was_resumed(gcs, server):
    # The library itself checks nothing here: the resumed answer is a 206.
    gcs.put("name", BIG)
    server.store.damage("test-bucket", "some/prefix/name")
    server.faults.add(Fault(truncate_at_bytes=1_000_000), when=downloads)
    with pytest.raises(ObjectCorrupt):
        gcs.read("name")


def test_a_stream_is_of_one_generation(gcs, server):
    gcs.put("name", BIG)
    with gcs.open_read("name") as stream:
        gcs.put("name", BIG[::-1])
        with pytest.raises(ObjectMissing):
            stream.read()
    with gcs.open_read("name") as stream:
        stream.read(1)
        gcs.put("name", BIG[::-1])
        with pytest.raises(ObjectMissing):
            stream.read()


@pytest.mark.parametrize(
    "fault",
    [Fault(status=503), Fault(reset=True), Fault(lose_response=True)],
    ids=["503", "reset", "lost answer"],
)
@pytest.mark.parametrize("chunk", [1, 2, 3], ids=["first", "middle", "last"])
def test_an_upload_goes_on_after_a_failure_in_any_chunk(gcs, server, fault, chunk):
    seen = []

    def that_chunk(request):
        if chunks(request) and request.body:
            seen.append(request)
            return len(seen) == chunk
        return False

    server.faults.add(fault, when=that_chunk)
    with gcs.open_write("backup") as stream:
        stream.write(BIG)
    assert server.faults.pending == 0
    assert gcs.read("backup") == BIG
    asked = [r for r in server.requests if chunks(r) and not r.body]
    assert asked, "the server is asked what it has before anything is sent again"


def test_an_upload_of_which_the_server_kept_a_part_sends_the_rest(gcs, server, monkeypatch):
    receive = ResumableUpload.receive
    forgetful = [True]

    def keep_a_part(self, content_range, body, hashes):
        stored = receive(self, content_range, body, hashes)
        if forgetful and body:
            forgetful.pop()
            del self.data[3 * CHUNK_UNIT_BYTES :]
        return stored

    monkeypatch.setattr(ResumableUpload, "receive", keep_a_part)
    with gcs.open_write("backup") as stream:
        stream.write(BIG)
    assert gcs.read("backup") == BIG


def test_an_upload_that_arrives_changed_never_becomes_an_object(gcs, server, monkeypatch):
    receive = ResumableUpload.receive
    monkeypatch.setattr(
        ResumableUpload,
        "receive",
        lambda self, content_range, body, hashes: receive(
            self, content_range, body and b"\xff" + body[1:], hashes
        ),
    )
    with pytest.raises(BucketError, match="HTTP 400"), gcs.open_write("backup") as stream:
        stream.write(BIG)
    assert server.store.bucket("test-bucket") == {}


def fail_half_way(bucket):
    with bucket.open_write("backup") as stream:
        stream.write(BIG)
        raise RuntimeError("mine")


def test_a_failed_block_cancels_its_session(gcs, server):
    with pytest.raises(RuntimeError):
        fail_half_way(gcs)
    (upload,) = server.uploads.values()
    assert upload.cancelled
    assert upload.finished is None


def test_an_upload_that_cannot_be_cancelled_still_leaves_nothing(gcs, server):
    server.faults.add(Fault(reset=True), when=lambda request: request.method == "DELETE")
    with pytest.raises(RuntimeError, match="mine"):
        fail_half_way(gcs)
    assert server.store.bucket("test-bucket") == {}


def test_a_stream_to_a_name_that_is_taken_stops_before_its_first_byte(gcs, server):
    gcs.put("backup", b"")
    with pytest.raises(PreconditionFailed), gcs.open_write("backup"):
        pytest.fail("the block must not run")


def test_gives_up_after_its_time_and_names_no_session(server, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    bucket = GCSBucket("test-bucket", retry_seconds=0.5)

    def fill():
        with bucket.open_write("backup") as stream:
            server.faults.add(Fault(reset=True), times=100, when=lambda request: True)
            stream.write(BIG)

    with pytest.raises(BucketError, match="could not write gs://test-bucket/backup") as failed:
        fill()
    (session,) = server.uploads
    assert session not in "".join(traceback.format_exception(failed.value))
    for call in (bucket.stat, bucket.read, bucket.delete, lambda name: bucket.put(name, b"")):
        server.faults.add(Fault(status=503), times=100)
        with pytest.raises(BucketError, match=r"gs://test-bucket/backup: HTTP 503|ConnectionError"):
            call("backup")
    bucket.close()


def test_a_bucket_that_does_not_exist_is_not_an_empty_one(server, monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    bucket = GCSBucket("no-such-bucket")
    for call in (bucket.stat, bucket.read, bucket.delete, lambda name: bucket.put(name, b"")):
        with pytest.raises(BucketError, match="bucket does not exist") as failed:
            call("name")
        assert not isinstance(failed.value, ObjectMissing)
    with pytest.raises(BucketError, match="bucket does not exist"):
        list(bucket.list())
    with pytest.raises(BucketError, match="bucket does not exist"), bucket.open_write("name"):
        pass
    bucket.close()


def test_a_refused_permission_is_told_with_the_services_words(gcs, server):
    server.faults.add(Fault(status=403))
    with pytest.raises(BucketError, match="HTTP 403 Injected fault"):
        gcs.put("name", b"")


def test_missing_credentials_are_a_bucket_error(monkeypatch, tmp_path):
    monkeypatch.delenv("STORAGE_EMULATOR_HOST", raising=False)
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(BucketError, match="no usable Google credentials"):
        GCSBucket("test-bucket").stat("name")


def test_many_threads_keep_their_connections(gcs, server, caplog):
    gcs.put("name", b"")
    server.faults.add(Fault(latency_seconds=0.05), times=32)
    with caplog.at_level("WARNING", logger="urllib3.connectionpool"), ThreadPoolExecutor(32) as threads:
        list(threads.map(lambda _: gcs.stat("name"), range(64)))
    assert "Connection pool is full" not in caplog.text


def test_a_listing_asks_for_no_body_and_only_for_what_it_needs(gcs, server):
    for number in range(3):
        gcs.put(f"ledger/{number}", b"{}")
    server.requests.clear()
    assert len(list(gcs.list("ledger/"))) == 3
    assert len(server.requests) == 1, server.requests
    (request,) = server.requests
    assert request.query["prefix"] == "some/prefix/ledger/"
    assert request.query["fields"].startswith("items(name,size,generation,crc32c,")


def test_the_library_asks_for_nothing_on_its_own(gcs, server):
    gcs.put("name", b"")
    gcs.read("name")
    assert len(list(gcs.list())) == 1
    time.sleep(0.2)  # it would do so from a thread
    assert [request for request in server.requests if request.is_about_the_bucket] == []
