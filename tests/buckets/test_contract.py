"""What every bucket promises, tested on a local folder and on the real GCS client over HTTP."""

import gzip
import io
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest

from deploy.buckets.base import ObjectMissing, PreconditionFailed
from deploy.buckets.streams import crc32c
from deploy.reporting.findings import Refusal

BIG = bytes(range(256)) * (4 * 9 * 1024)  # 9 MiB: more than one chunk of a resumable upload


def test_what_was_put_is_read_back_with_its_properties(bucket):
    written = bucket.put(
        "static/app.css",
        b"body{}",
        content_type="text/css",
        cache_control="public, max-age=60",
        content_encoding="br",
        metadata={"sha256": "abc"},
    )
    assert bucket.read("static/app.css") == b"body{}"
    assert bucket.stat("static/app.css") == written
    assert list(bucket.list()) == [written]
    assert (written.size_bytes, written.crc32c) == (6, crc32c(b"body{}"))
    assert (written.content_type, written.cache_control) == ("text/css", "public, max-age=60")
    assert (written.content_encoding, written.metadata) == ("br", {"sha256": "abc"})
    assert abs(datetime.now(UTC) - written.updated) < timedelta(minutes=1)


def test_the_checksum_is_the_one_of_the_standard():
    assert crc32c(b"123456789") == "4waSgw=="  # 0xE3069283, RFC 3720 appendix B.4's check value


def test_an_empty_object_is_an_object(bucket):
    assert bucket.put("empty", b"").size_bytes == 0
    with bucket.open_write("streamed"):
        pass
    for name in ("empty", "streamed"):
        assert bucket.read(name) == b""
        with bucket.open_read(name) as stream:
            assert stream.read() == b""


def test_compressed_objects_are_read_as_they_are_stored(bucket):
    stored = gzip.compress(b"some text")
    bucket.put("page", stored, content_type="text/html", content_encoding="gzip")
    assert bucket.read("page") == stored
    with bucket.open_read("page") as stream:
        assert stream.read() == stored


def test_what_is_not_there_is_said_so(bucket):
    assert bucket.stat("no/such") is None
    assert list(bucket.list("no/")) == []
    with pytest.raises(ObjectMissing):
        bucket.read("no/such")
    with pytest.raises(ObjectMissing), bucket.open_read("no/such"):
        pass
    with pytest.raises(ObjectMissing):
        bucket.delete("no/such")


def test_creates_only_if_absent(bucket):
    first = bucket.put("lock", b"first", if_generation=0)
    with pytest.raises(PreconditionFailed):
        bucket.put("lock", b"second", if_generation=0)
    assert bucket.read("lock") == b"first"
    assert bucket.stat("lock") == first


def test_replaces_only_the_generation_that_was_seen(bucket):
    first = bucket.put("lock", b"first")
    second = bucket.put("lock", b"second", if_generation=first.generation)
    assert second.generation > first.generation
    with pytest.raises(PreconditionFailed):
        bucket.put("lock", b"third", if_generation=first.generation)
    with pytest.raises(PreconditionFailed):
        bucket.put("absent", b"x", if_generation=first.generation)
    assert bucket.read("lock") == b"second"
    assert bucket.stat("absent") is None


def test_deletes_only_the_generation_that_was_seen(bucket):
    first = bucket.put("lock", b"first")
    second = bucket.put("lock", b"second")
    with pytest.raises(PreconditionFailed):
        bucket.delete("lock", if_generation=first.generation)
    assert bucket.read("lock") == b"second"
    bucket.delete("lock", if_generation=second.generation)
    assert bucket.stat("lock") is None
    with pytest.raises(ObjectMissing):
        bucket.delete("lock", if_generation=second.generation)


def test_generations_grow_through_replacing_deleting_and_creating_again(bucket):
    seen = []
    for _ in range(5):
        seen.append(bucket.put("name", b"1").generation)
        seen.append(bucket.put("name", b"2").generation)
        bucket.delete("name")
    assert seen == sorted(set(seen))


def test_a_name_may_be_the_beginning_of_another(bucket):
    names = ["a", "a-b", "a.c", "a/b", "a/b/c", "a0"]
    for name in reversed(names):
        bucket.put(name, name.encode())
    assert [info.name for info in bucket.list()] == names
    assert [bucket.read(name) for name in names] == [name.encode() for name in names]
    bucket.delete("a")
    bucket.delete("a/b")
    assert [info.name for info in bucket.list("a/")] == ["a/b/c"]


def test_lists_more_objects_than_a_page_in_byte_order(bucket):
    names = {f"ledger/{number:x}.json" for number in range(1050)} | {"ledger", "ledgers/x", "Z", "~"}
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda name: bucket.put(name, b"{}"), names))
    assert [info.name for info in bucket.list()] == sorted(names)
    beginning = sorted(name for name in names if name.startswith("ledger/1"))
    assert [info.name for info in bucket.list("ledger/1")] == beginning


@pytest.mark.parametrize("size", [0, 1, 256 * 1024, 8 * 1024 * 1024, len(BIG)])
def test_streams_in_and_out(bucket, size):
    with bucket.open_write("backup", content_type="application/zstd", metadata={"k": "v"}) as stream:
        for start in range(0, size, 1_000_003):
            stream.write(memoryview(BIG)[start : min(start + 1_000_003, size)])
        assert bucket.stat("backup") is None
    info = bucket.stat("backup")
    assert (info.size_bytes, info.crc32c) == (size, crc32c(BIG[:size]))
    assert (info.content_type, info.metadata) == ("application/zstd", {"k": "v"})
    with bucket.open_read("backup") as stream:
        pieces = list(iter(lambda: stream.read(700_001), b""))
    assert b"".join(pieces) == BIG[:size]
    assert bucket.read("backup") == BIG[:size]


def test_puts_large_objects_whole(bucket):
    written = bucket.put("large", BIG, if_generation=0, cache_control="no-store")
    assert (written.size_bytes, written.cache_control) == (len(BIG), "no-store")
    assert bucket.stat("large") == written
    with pytest.raises(PreconditionFailed):
        bucket.put("large", BIG, if_generation=0)


def test_a_compressor_may_close_the_stream_that_it_writes_to(bucket):
    zstandard = pytest.importorskip("zstandard")
    with bucket.open_write("dump.zst") as stream:
        with zstandard.ZstdCompressor().stream_writer(stream) as compressor:
            compressor.write(b"x" * 100_000)
        with pytest.raises(ValueError, match="closed"):
            stream.write(b"late")
    with bucket.open_read("dump.zst") as stream:
        assert zstandard.ZstdDecompressor().stream_reader(stream).read() == b"x" * 100_000


def test_reads_lines(bucket):
    bucket.put("log", b"one\ntwo\n")
    with bucket.open_read("log") as stream:
        assert list(io.BufferedReader(stream)) == [b"one\n", b"two\n"]


@pytest.mark.parametrize("size", [10, len(BIG)])
def test_an_exception_in_the_block_leaves_nothing(bucket, size):
    def stop_half_way():
        with bucket.open_write("backup") as stream:
            stream.write(BIG[:size])
            raise RuntimeError("pg_dump died")

    with pytest.raises(RuntimeError, match="pg_dump died"):
        stop_half_way()
    assert bucket.stat("backup") is None
    assert list(bucket.list()) == []


def test_an_exception_in_the_block_leaves_the_old_object(bucket):
    old = bucket.put("backup", b"old")

    def stop_half_way():
        with bucket.open_write("backup", if_generation=None) as stream:
            stream.write(BIG)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        stop_half_way()
    assert bucket.stat("backup") == old
    assert bucket.read("backup") == b"old"


def test_of_two_streams_to_a_name_the_first_to_end_wins(bucket):
    def write_second():
        with bucket.open_write("backup") as second:
            second.write(b"second")
            with bucket.open_write("backup") as first:
                first.write(b"first")

    with pytest.raises(PreconditionFailed):
        write_second()
    assert bucket.read("backup") == b"first"


def test_a_stream_may_replace_the_generation_that_was_seen(bucket):
    seen = bucket.put("name", b"old").generation
    with bucket.open_write("name", if_generation=seen) as stream:
        stream.write(b"new")
    assert bucket.read("name") == b"new"
    assert bucket.stat("name").generation > seen


def test_of_many_threads_one_creates(bucket):
    start = threading.Barrier(8)

    def create(number):
        start.wait()
        try:
            return bucket.put("lock", str(number).encode(), if_generation=0) and number
        except PreconditionFailed:
            return None

    with ThreadPoolExecutor(8) as threads:
        winners = [number for number in threads.map(create, range(8)) if number is not None]
    assert len(winners) == 1
    assert bucket.read("lock") == str(winners[0]).encode()


def test_a_counter_by_compare_and_swap_loses_no_step(bucket):
    bucket.put("counter", b"0")

    def count(steps):
        for _ in range(steps):
            while True:
                generation = bucket.stat("counter").generation
                value = int(bucket.read("counter"))
                try:
                    bucket.put("counter", str(value + 1).encode(), if_generation=generation)
                except PreconditionFailed:
                    continue
                break

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(count, [10] * 6))
    assert bucket.read("counter") == b"60"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        "..",
        "a/../b",
        "./a",
        "a b",
        "a%",
        "ä",
        "a\n",
        "a\0",
        "x" * 201,
        "a/" * 450,
    ],
)
def test_names_that_no_store_should_see_are_refused(bucket, name):
    for call in (bucket.stat, bucket.read, bucket.delete, lambda name: bucket.put(name, b"")):
        with pytest.raises(Refusal) as refused:
            call(name)
        assert [finding.id for finding in refused.value.findings] == ["deploy.K003"]
        assert refused.value.exit_code == 2
    with pytest.raises(Refusal, match=r"deploy\.K003"), bucket.open_write(name):
        pass


@pytest.mark.parametrize("prefix", ["..", "a/../", "//", "a b", "%"])
def test_prefixes_that_no_name_begins_with_are_refused(bucket, prefix):
    with pytest.raises(Refusal, match=r"deploy\.K003"):
        list(bucket.list(prefix))
