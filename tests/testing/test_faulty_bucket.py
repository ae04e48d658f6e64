"""A bucket that fails on demand: each method with each kind, and which call meets it."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.buckets import open_bucket
from deploy.buckets.base import BucketError, ObjectCorrupt, ObjectMissing, PreconditionFailed
from deploy.buckets.gcs import GCSBucket
from deploy.buckets.local import LocalBucket
from deploy.buckets.lost_answers import put_surely
from deploy.testing import BucketFault, FaultyBucket, every_fault

BODY = bytes(range(256)) * 40
RAISES: dict[str, type[BucketError]] = {
    "error": BucketError,
    "timeout": BucketError,
    "partial": BucketError,
    "lost": BucketError,
    "corrupt": ObjectCorrupt,
    "missing": ObjectMissing,
    "duplicate": PreconditionFailed,
}


@pytest.fixture(params=["local", "gcs"])
def store(request, tmp_path, server):
    if request.param == "local":
        yield LocalBucket(tmp_path / "bucket")
        return
    bucket = GCSBucket("b", "prefix", client=server.client(), retry_seconds=5)
    yield bucket
    bucket.close()


def do(bucket: FaultyBucket, method: str, name: str) -> bytes | None:
    """Call it; what was read."""
    match method:
        case "stat":
            return b"" if bucket.stat(name) else None
        case "read":
            return bucket.read(name)
        case "open_read":
            with bucket.open_read(name) as stream:
                return b"".join(iter(lambda: stream.read(1000), b""))
        case "put":
            bucket.put(name, BODY, if_generation=0)
        case "open_write":
            with bucket.open_write(name, if_generation=0) as out:
                for start in range(0, len(BODY), 1000):
                    out.write(BODY[start : start + 1000])
        case "list":
            return " ".join(info.name for info in bucket.list()).encode()
        case "delete":
            bucket.delete(name)
    return b""


@pytest.mark.parametrize("fault", every_fault(after=5000), ids=lambda f: f"{f.method}-{f.kind}")
def test_each_method_meets_each_kind_and_is_well_again(store, fault):
    for name in ("old", "older"):
        store.put(name, BODY)
    writes = fault.method in ("put", "open_write")
    name = "new" if writes else "old"
    bucket = FaultyBucket(store, fault)
    raised, answer = None, None
    try:
        answer = do(bucket, fault.method, name)
    except BucketError as error:
        raised = type(error)

    expected = RAISES.get(fault.kind)
    if (fault.method, fault.kind) == ("stat", "missing"):
        assert (raised, answer) == (None, None)
    elif (fault.method, fault.kind) == ("delete", "duplicate"):
        assert raised is ObjectMissing
    elif fault.method == "list" and fault.kind == "partial":
        assert raised is BucketError
    else:
        assert raised is expected
    if fault.kind == "flip":
        assert answer is not None
        assert [at for at in range(len(BODY)) if answer[at] != BODY[at]] == [5000]
    done = expected is None or fault.kind in ("lost", "duplicate")
    if writes:
        assert (store.stat("new") is not None) is done  # whole or not there
        assert not done or store.read("new") == BODY
    if fault.method == "delete":
        assert (store.stat("old") is None) is done
    assert [call.fault for call in bucket.calls] == [fault]
    if not (writes and done):
        store.put("old", BODY)
        do(bucket, fault.method, name)  # the second call meets nothing
    assert len(bucket.met) == 1


def test_a_listing_breaks_off_in_the_middle(store):
    for number in range(7):  # the server's pages hold three
        store.put(f"n{number}", b"")
    bucket = FaultyBucket(store, BucketFault("partial", "list", after=5))
    seen = []
    with pytest.raises(BucketError):
        seen.extend(info.name for info in bucket.list("n"))
    assert seen == ["n0", "n1", "n2", "n3", "n4"]
    assert len(list(bucket.list("n"))) == 7


def test_the_nth_call_of_a_pattern_meets_it(tmp_path):
    bucket = FaultyBucket(LocalBucket(tmp_path), BucketFault("error", "put", name="a/*", nth=2, times=2))
    outcome = []
    for name in ("a/1", "b/1", "a/2", "a/3", "a/4"):
        try:
            bucket.put(name, b"")
            outcome.append(name)
        except BucketError:
            outcome.append("")
    assert outcome == ["a/1", "b/1", "", "", "a/4"]
    bucket.add(BucketFault("missing"))
    assert bucket.stat("a/1") is None
    assert bucket.stat("a/1") is not None


def test_a_rate_is_met_alike_with_the_same_seed(tmp_path):
    def met(seed: int) -> list[int]:
        bucket = FaultyBucket(LocalBucket(tmp_path), BucketFault("missing", "stat", rate=0.3), seed=seed)
        for _ in range(200):
            bucket.stat("a")
        return [number for number, call in enumerate(bucket.calls) if call.fault]

    assert met(1) == met(1) != met(2)
    assert 30 < len(met(1)) < 90


def test_it_stands_in_for_an_address(tmp_path):
    url = f"file://{tmp_path}"
    bucket = FaultyBucket(open_bucket(url))
    with bucket.instead_of(url):
        assert open_bucket(url) is bucket
    assert isinstance(open_bucket(url), LocalBucket)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "flip", "method": "put"},
        {"kind": "other"},
        {"kind": "error", "method": "move"},
        {"kind": "slow", "seconds": 61},
        {"kind": "error", "rate": 0},
        {"kind": "error", "nth": 0},
    ],
)
def test_what_there_is_not_is_refused(wrong):
    with pytest.raises(ValueError):
        BucketFault(**wrong)


@pytest.mark.parametrize("kind", ["kill", "kill_after"])
@pytest.mark.parametrize("method", ["put", "open_write", "delete", "list", "open_read"])
def test_killed_before_or_after_the_call(tmp_path, method, kind):
    LocalBucket(tmp_path).put("old", BODY)
    code = (
        "import sys; from deploy.testing import BucketFault, FaultyBucket\n"
        "from deploy.buckets.local import LocalBucket\n"
        "from tests.testing.test_faulty_bucket import do\n"
        "folder, method, kind, name = sys.argv[1:]\n"
        "do(FaultyBucket(LocalBucket(folder), BucketFault(kind, method, after=3000)), method, name)"
    )
    name = "new" if method in ("put", "open_write") else "old"
    ended = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), method, kind, name],
        cwd=Path(__file__).parents[2],
        timeout=60,
        check=False,
    )
    assert ended.returncode == -signal.SIGKILL
    done = kind == "kill_after"
    there = LocalBucket(tmp_path).stat(name) is not None
    assert there is {"put": done, "open_write": done, "delete": not done}.get(method, True)


@pytest.mark.parametrize("if_generation", [0, 1])
@pytest.mark.parametrize("kind", ["lost", "duplicate", "error"])
def test_a_write_whose_answer_was_lost_is_found(store, kind, if_generation):
    generation = store.put("a", b"before").generation if if_generation else 0
    bucket = FaultyBucket(store, BucketFault(kind, "put"))
    if kind == "error":
        with pytest.raises(BucketError):
            put_surely(bucket, "a", b"token-1", if_generation=generation)
        return
    written = put_surely(bucket, "a", b"token-1", if_generation=generation)
    assert written == store.stat("a")
    with pytest.raises(PreconditionFailed):  # somebody else's is not taken for ours
        put_surely(bucket, "a", b"token-2", if_generation=generation)


def test_where_the_look_is_not_answered_either_the_first_error_is_told(store):
    bucket = FaultyBucket(store, BucketFault("lost", "put"), BucketFault("error", "stat"))
    with pytest.raises(BucketError, match="the answer was lost"):
        put_surely(bucket, "a", b"token", if_generation=0)
