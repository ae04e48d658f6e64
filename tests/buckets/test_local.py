"""What a folder must do beyond the contract: hold between processes, after kill -9, and against the disk."""

import os
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy.buckets import local, local_files
from deploy.buckets.base import BucketError, ObjectCorrupt, PreconditionFailed
from deploy.buckets.local import LocalBucket

REPOSITORY = Path(__file__).parent.parent.parent


def run_python(code: str, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        cwd=REPOSITORY,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


CREATE = """
import sys
from deploy.buckets.base import PreconditionFailed
from deploy.buckets.local import LocalBucket
bucket = LocalBucket(sys.argv[1])
print("ready", flush=True)
for line in sys.stdin:
    try:
        bucket.put(line.strip(), sys.argv[2].encode(), if_generation=0)
        print("won", flush=True)
    except PreconditionFailed:
        print("lost", flush=True)
"""


def test_of_eight_processes_one_creates(tmp_path):
    processes = [run_python(CREATE, str(tmp_path), str(number)) for number in range(8)]
    try:
        assert [process.stdout.readline() for process in processes] == ["ready\n"] * 8
        for name in (f"lock/{number}" for number in range(20)):
            for process in processes:
                process.stdin.write(f"{name}\n")
                process.stdin.flush()
            results = [process.stdout.readline() for process in processes]
            assert results.count("won\n") == 1, results
            winner = results.index("won\n")
            assert LocalBucket(tmp_path).read(name) == str(winner).encode()
    finally:
        for process in processes:
            process.stdin.close()
            process.wait()
            process.stdout.close()


WRITE_FOREVER = """
import sys
from deploy.buckets.local import LocalBucket
bucket = LocalBucket(sys.argv[1])
number = 0
while True:
    number += 1
    body = f"{number:08d}".encode() * (1 + number % 40000)
    bucket.put(f"put/{number % 3}", body, metadata={"number": str(number)})
    with bucket.open_write("streamed", if_generation=None, metadata={"number": str(number)}) as stream:
        for start in range(0, len(body), 50_000):
            stream.write(body[start:start + 50_000])
    if number % 5 == 0:
        bucket.delete("streamed")
    if number == 3:
        print("going", flush=True)
"""


def test_a_killed_writer_leaves_whole_objects_and_no_lock(tmp_path):
    chance = random.Random(20261123)  # noqa: S311 – moments to kill at, no secret
    bucket = LocalBucket(tmp_path)
    newest: dict[str, int] = {}
    for _ in range(12):
        with run_python(WRITE_FOREVER, str(tmp_path)) as writer:
            try:
                assert writer.stdout.readline() == "going\n"
                until = time.monotonic() + chance.uniform(0, 0.1)
                while time.monotonic() < until:
                    check_all_whole(bucket)
            finally:
                writer.send_signal(signal.SIGKILL)
        check_all_whole(bucket)
        for name in ("put/0", "put/1", "put/2", "streamed"):  # nothing is locked, and numbers go on
            generation = bucket.put(name, b"00000000", metadata={"number": "0"}).generation
            assert generation > newest.get(name, 0)
            newest[name] = generation


def check_all_whole(bucket: LocalBucket) -> None:
    for info in list(bucket.list()):
        try:
            body = bucket.read(info.name)  # checks the checksum
        except local.ObjectMissing:
            continue  # deleted since it was listed
        number = body[:8]
        assert body == number * (len(body) // 8)
        assert len(body) == 8 * (1 + int(number) % 40000) or number == b"00000000"


def test_nothing_is_made_before_the_first_write(tmp_path):
    bucket = LocalBucket(tmp_path / "not" / "yet")
    assert bucket.stat("a") is None
    assert list(bucket.list()) == []
    with pytest.raises(local.ObjectMissing):
        bucket.delete("a")
    assert not (tmp_path / "not").exists()


def test_what_lies_in_the_bucket_is_for_its_owner_only(tmp_path):
    LocalBucket(tmp_path / "bucket").put("backups/1", b"personal data")
    for path in [tmp_path / "bucket", *(tmp_path / "bucket").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_reader_keeps_its_object_while_it_is_replaced_and_deleted(local):
    local.put("name", b"old" * 1_000_000)
    with local.open_read("name") as stream:
        beginning = stream.read(10)
        local.put("name", b"new")
        local.delete("name")
        assert beginning + stream.read() == b"old" * 1_000_000


def test_generations_grow_when_the_clock_goes_back(local, monkeypatch):
    before = local.put("name", b"1").generation
    other = local.put("other", b"1").generation
    local.delete("name")

    class Yesterday(datetime):
        @classmethod
        def now(cls, tz=None):
            return datetime(2001, 1, 1, tzinfo=UTC)

    monkeypatch.setattr("deploy.buckets.local.datetime", Yesterday)
    assert LocalBucket(local.url.removeprefix("file://")).put("name", b"2").generation > before
    assert local.put("other", b"2").generation > other


def test_a_stream_that_is_being_written_is_not_listed(local):
    with local.open_write("name") as stream:
        stream.write(b"x" * 100_000)
        assert list(local.list()) == []
        assert local.stat("name") is None


def test_leftovers_of_dead_writers_are_swept_after_a_day_and_living_ones_kept(tmp_path):
    path = tmp_path / "bucket"
    LocalBucket(path).put("name", b"")
    writing = path.joinpath(*local_files.WRITING_FOLDER)
    day_ago = time.time() - local_files.LEFTOVER_SECONDS - 1
    for leftover in ("old", "new"):
        (writing / leftover).write_bytes(b"half")
    os.utime(writing / "old", (day_ago, day_ago))
    with LocalBucket(path).open_write("streamed") as stream:
        stream.write(b"slow")
        (living,) = (file for file in writing.iterdir() if file.name not in ("old", "new"))
        os.utime(living, (day_ago, day_ago))
        LocalBucket(path).put("other", b"")
        assert sorted(file.name for file in writing.iterdir()) == sorted(["new", living.name])
    assert LocalBucket(path).read("streamed") == b"slow"


def object_file(bucket: LocalBucket, name: str) -> Path:
    return Path(bucket.url.removeprefix("file://")) / f"{name}%"


def test_a_flipped_bit_in_the_body_is_found_by_every_way_to_read(local):
    local.put("ledger/1", b"x" * 3_000_000)
    with object_file(local, "ledger/1").open("r+b") as file:
        file.seek(2_999_999)
        file.write(b"y")
    with pytest.raises(ObjectCorrupt, match="ledger/1 is damaged"):
        local.read("ledger/1")
    with local.open_read("ledger/1") as stream:
        assert len(stream.read(2_000_000)) == 2_000_000
        with pytest.raises(ObjectCorrupt):
            stream.read(1_000_000)


def test_damage_to_an_empty_object_is_found(local):
    local.put("empty", b"")
    file = object_file(local, "empty")
    file.write_bytes(b"x" + file.read_bytes())
    with pytest.raises(ObjectCorrupt):
        local.read("empty")


@pytest.mark.parametrize("damage", ["truncate", "empty", "properties"])
def test_a_damaged_file_is_never_taken_for_an_object(local, damage):
    local.put("name", b"body")
    file = object_file(local, "name")
    content = file.read_bytes()
    file.write_bytes(
        {
            "truncate": content[:-3],
            "empty": b"",
            "properties": content.replace(b'"generation":1', b'"generation":2'),
        }[damage]
    )
    assert [(info.generation, info.crc32c) for info in local.list()] == [(0, "")]  # it hides no other
    for call in (local.stat, local.read):
        with pytest.raises(ObjectCorrupt, match="name is damaged"):
            call("name")


def test_symbolic_links_do_not_lead_out_of_the_bucket(local, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    local.put("inside/name", b"")
    LocalBucket(outside).put("secret", b"secret")
    root = Path(local.url.removeprefix("file://"))
    (root / "linked").symlink_to(outside)
    (root / "name%").symlink_to(outside / "secret%")
    for name in ("linked/secret", "name"):
        with pytest.raises(BucketError, match="could not read"):
            local.read(name)
    with pytest.raises(BucketError, match="Not a directory"):
        local.put("linked/new", b"")
    assert [info.name for info in local.list()] == ["inside/name"]
    assert [path.name for path in outside.iterdir() if not path.name.startswith("%")] == ["secret%"]


def test_a_disk_error_is_a_bucket_error_with_the_reason(tmp_path):
    (tmp_path / "file").write_text("")
    bucket = LocalBucket(tmp_path / "file" / "bucket")
    with pytest.raises(BucketError, match=r"file://.*: Not a directory"):
        bucket.put("name", b"")


def test_a_full_disk_leaves_the_old_object_and_no_leftover(local, monkeypatch):
    local.put("name", b"old")

    def full(descriptor, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("deploy.buckets.local._write_all", full)
    with pytest.raises(BucketError, match=r"could not write .*name: No space left on device"):
        local.put("name", b"new")
    with pytest.raises(BucketError, match="No space left"), local.open_write("other") as stream:
        stream.write(b"new")
    monkeypatch.undo()
    assert local.read("name") == b"old"
    assert local.stat("other") is None
    root = Path(local.url.removeprefix("file://"))
    assert list(root.joinpath(*local_files.WRITING_FOLDER).iterdir()) == []


def test_an_error_of_the_caller_is_not_taken_for_one_of_the_bucket(local):
    local.put("name", b"")
    with pytest.raises(FileNotFoundError), local.open_read("name"):
        raise FileNotFoundError
    with pytest.raises(OSError, match="mine"), local.open_write("other"):
        raise OSError("mine")


def test_everything_is_on_disk_before_it_is_visible(local, monkeypatch):
    events = []
    for name in ("fsync", "rename"):
        real = getattr(os, name)
        monkeypatch.setattr(
            f"deploy.buckets.local.os.{name}",
            lambda *a, _real=real, _name=name, **k: (events.append(_name), _real(*a, **k))[1],
        )
    local.put("warm/up", b"")
    events.clear()
    local.put("warm/name", b"body")
    assert events == ["fsync", "rename", "fsync"]


@pytest.mark.skipif(sys.platform != "linux", reason="only there it is asked for")
def test_a_large_stream_is_brought_to_the_disk_while_it_is_written(local, monkeypatch):
    begun, advise = [], os.posix_fadvise

    def note(descriptor, offset, length, advice):
        begun.append((offset, length))
        advise(descriptor, offset, length, advice)

    monkeypatch.setattr(os, "posix_fadvise", note)
    piece = bytes(range(256)) * 12 * 1024  # 3 MiB
    with local.open_write("large") as out:
        for _ in range(7):
            out.write(piece)
        assert begun == [(0, 3 * len(piece)), (3 * len(piece), 3 * len(piece))]
    assert local.read("large") == piece * 7


def test_losing_a_precondition_writes_nothing(local):
    local.put("name", b"old")
    before = {path: path.stat().st_mtime_ns for path in Path(local.url[7:]).rglob("*%")}
    with pytest.raises(PreconditionFailed, match=r"is at generation \d+, not 0"):
        local.put("name", b"new", if_generation=0)
    assert before == {path: path.stat().st_mtime_ns for path in Path(local.url[7:]).rglob("*%")}


def test_the_default_folder_keeps_itself_out_of_git(tmp_path):
    bucket = LocalBucket(tmp_path / "project" / ".deploy" / "bucket")
    bucket.put("ledger/1.json", b"{}")
    assert (tmp_path / "project" / ".deploy" / ".gitignore").read_text() == "*\n"
    LocalBucket(tmp_path / "bucket").put("x", b"")
    assert not (tmp_path / ".gitignore").exists()
