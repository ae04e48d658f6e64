"""kill -9 of each command at 50 random moments, and before and after each of its calls of the bucket.

After each: whatever is listed is whole, no process is left, the live database is there with its rows, and the
next run succeeds.
"""

from __future__ import annotations

import random
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

import pytest

from .world import MOMENTS, ROWS, World

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the kernel ends children of the killed on Linux"),
    pytest.mark.timeout(900),  # a minute on a quiet machine; ten processes beside it are no failure
]
SEED = random.SystemRandom().randrange(2**32)
OLD = 6  # backups that are to go
HOW = ["moments", "kill", "kill_after"]


def killed(world: World, argv: list[str], how: str, moments: int = MOMENTS) -> Iterator[str]:
    """Kill it in each way of `how`; yields a word on it after each kill, and nothing for a whole run."""
    if how == "moments":
        count = 0
        for number, share in world.killed_at_moments(argv, SEED, moments):
            count += number >= 0
            yield f"seed {SEED}, at {share:.3f}" if number >= 0 else ""
        assert count == moments
        return
    for number in world.killed_at_calls(argv, how):
        yield f"{how} at call {number}"


@pytest.mark.parametrize("how", HOW)
def test_backupdb(world: World, how: str) -> None:
    (base,) = world.manifests()
    seen: Counter[str] = Counter()
    for told in killed(world, ["backupdb"], how):
        if told:
            after, unfinished = world.manifests(), world.unfinished()
            assert base.id in {manifest.id for manifest in after}, told
            assert len(after) + unfinished <= 2, told
            seen["whole" if len(after) == 2 else "no manifest" if unfinished else "nothing"] += 1
            before = len(after)
            world.succeed("backupdb")
            assert len(world.manifests()) == before + 1, told
        assert world.rows() == ROWS, told
        assert world.databases(world.live) == {world.live}, told
        world.forget(but=(base.id,))
    print(how, dict(seen))  # noqa: T201
    if how != "moments":
        assert seen["no manifest"] >= 1, "the moments between archive and manifest were not met"


@pytest.mark.parametrize("how", ["kill", "kill_after"])
def test_backupdb_of_several_parts(world: World, how: str) -> None:
    """All of its archives or no backup."""
    (base,) = world.manifests()
    assert len(base.parts) == 1
    for told in killed(world, ["backupdb", "--jobs", "2"], how):
        after = world.manifests()
        assert len(after) + world.unfinished() <= 2, told
        assert [len(manifest.parts) for manifest in after[:-1]] in ([], [2]), told
        world.succeed("backupdb", "--jobs", "2")
        assert len(world.manifests()) == len(after) + 1, told
        world.forget(but=(base.id,))


@pytest.mark.parametrize("how", HOW)
def test_restoredb_beside(world: World, how: str) -> None:
    beside = f"{world.live}_look"
    seen: Counter[str] = Counter()
    for told in killed(world, ["restoredb", "latest", "--into", beside], how):
        if told:
            found = world.databases(beside)
            scratch = world.databases(world.conf.scratch_prefix)
            seen["named" if found else "being filled" if scratch else "nothing"] += 1
            if found:
                assert world.rows(beside) == ROWS, told
                world.drop(beside)
            world.succeed("restoredb", "latest", "--into", beside)
        assert world.rows(beside) == ROWS, told
        assert world.rows() == ROWS, told
        assert world.databases(world.live) == {world.live, beside}, told
        seen["made after the kill"] += len(world.stale_scratch())
        world.drop(beside)
        assert len(world.manifests()) == 1, told
    print(how, dict(seen))  # noqa: T201


@pytest.mark.parametrize("how", HOW)
def test_restoredb_replacing(world: World, how: str) -> None:
    world.query("INSERT INTO person (name) VALUES ('after the backup')")
    seen: Counter[str] = Counter()
    argv = ["restoredb", "latest", "--yes-replace", world.live]
    for told in killed(world, argv, how):
        kept = world.databases(f"{world.live}_before_")
        swapped = world.rows() == ROWS
        assert len(kept) == swapped, told  # nothing is lost: the rows are live, or kept under a dated name
        assert world.rows(*kept) == ROWS + 1, told
        if told:
            scratch = world.databases(world.conf.scratch_prefix)
            held = world.release_lock()
            seen[
                "swapped" if swapped else "being filled" if scratch else "locked" if held else "nothing"
            ] += 1
            world.drop(*kept)
            world.succeed(*argv)
            assert world.rows() == ROWS, told
            kept = world.databases(f"{world.live}_before_")
            assert len(kept) == 1, told
        seen["made after the kill"] += len(world.stale_scratch())
        world.drop(*kept)
        world.query("INSERT INTO person (name) VALUES ('after the backup')")
        assert len(world.manifests()) == 1, told
    print(how, dict(seen))  # noqa: T201


@pytest.mark.parametrize("how", HOW)
def test_backups_verify(world: World, how: str) -> None:
    """A whole proof or none, and its scratch database is gone with the next one's."""
    (base,) = world.manifests()
    argv = ["backups", "verify", "latest", "--grade", "L2"]
    seen: Counter[str] = Counter()
    for told in killed(world, argv, how, moments=12):
        if told:
            (after,) = world.manifests()
            assert [(proof.grade, proof.ok) for proof in after.proofs] in ([], [(2, True)]), told
            scratch = world.databases(world.conf.scratch_prefix)
            seen["proved" if after.proofs else "being filled" if scratch else "nothing"] += 1
            world.succeed(*argv)
        (now,) = world.manifests()
        assert (now.grade, now.damage) == (2, None), told
        assert replace(now, proofs=()) == base, told
        assert world.rows() == ROWS, told
        seen["made after the kill"] += len(world.stale_scratch())
        world.bucket.put(base.manifest_name, base.to_bytes())
    print(how, dict(seen))  # noqa: T201


def test_a_backup_that_was_killed_before_its_proof_has_no_grade(world: World) -> None:
    for kind, name in (("kill_after", "*manifest.json"), ("kill", "*manifest.json")):
        world.forget()
        world.succeed("backupdb")
        fault = {"kind": kind, "method": "put", "name": name, "nth": 1 if kind == "kill_after" else 2}
        assert world.run("backupdb", "--prove", fault=fault).killed
        (killed_one, _) = world.manifests()
        assert (killed_one.grade, killed_one.proofs) == (None, ())
        world.succeed("backupdb", "--prove")
        assert [manifest.grade for manifest in world.manifests()] == [2, None, None]
        world.stale_scratch()


@pytest.mark.parametrize("how", HOW)
def test_backups_prune(world: World, how: str) -> None:
    (newest,) = world.manifests()

    def fill() -> None:
        world.forget(but=(newest.id,))
        for days in range(700, 700 + (OLD if how == "moments" else 2)):
            world.age(newest, days)

    fill()
    seen: Counter[str] = Counter()
    for told in killed(world, ["backups", "prune"], how):
        if told:
            whole, unfinished = world.manifests(), world.unfinished()
            assert newest.id in {manifest.id for manifest in whole}, told
            seen[f"{len(whole) - 1} left, {unfinished} half deleted"] += 1
            world.release_lock()
            world.succeed("backups", "prune")
        assert [manifest.id for manifest in world.manifests()] == [newest.id], told
        assert world.rows() == ROWS, told
        fill()
    print(how, dict(seen))  # noqa: T201
    if how != "moments":
        assert any(not state.endswith("0 half deleted") for state in seen)


@pytest.mark.parametrize("command", ["restoredb", "backups prune"])
def test_the_killed_ones_lock_expires_and_is_taken_over(world: World, command: str) -> None:
    world.deploy["LOCK_TTL_SECONDS"] = 2
    argv = {
        "restoredb": ["restoredb", "latest", "--yes-replace", world.live],
        "backups prune": ["backups", "prune"],
    }[command]
    assert world.run(*argv, fault={"kind": "kill_after", "method": "put", "name": "lock/*"}).killed
    refused = world.run(*argv)
    assert (refused.code, refused.ids) == (75, ["deploy.L001"])
    time.sleep(2.1)
    assert "deploy.L003" in world.succeed(*argv).ids


def test_two_backups_at_once(world: World) -> None:
    for _ in range(3):
        before = len(world.manifests())
        ended = world.together({"argv": ["backupdb"]}, {"argv": ["backupdb"]})
        assert [(one.code, one.left) for one in ended] == [(0, [])] * 2
        assert len(world.manifests()) == before + 2
        assert world.unfinished() == 0


def test_a_backup_beside_a_prune(world: World) -> None:
    """The one that is being taken is not taken for a remnant."""
    (base,) = world.manifests()
    for _ in range(5):
        world.forget(but=(base.id,))
        for days in range(700, 700 + OLD):
            world.age(base, days)
        ended = world.together({"argv": ["backupdb"]}, {"argv": ["backups", "prune"]})
        assert [(one.code, one.left) for one in ended] == [(0, [])] * 2
        assert ended[0].facts("backup")["backup"] in {manifest.id for manifest in world.manifests()}
        assert world.unfinished() == 0


def test_a_restore_beside_a_prune(world: World) -> None:
    """One waits for nobody and is refused by the lock; nothing is half done."""
    (base,) = world.manifests()
    beside = f"{world.live}_look"
    for _ in range(3):
        for days in range(700, 700 + OLD):
            world.age(base, days)
        oldest = world.manifests()[-1].id
        ended = world.together(
            {"argv": ["restoredb", oldest, "--into", beside]}, {"argv": ["backups", "prune"]}
        )
        assert ended[1].code == 0, ended[1].out
        restored = ended[0].code == 0
        # Pruned under its hands: either not there, or its archive is gone, and its manifest, too.
        assert restored or set(ended[0].ids) <= {"deploy.B001", "deploy.B004", "deploy.B112"}, ended[0].out
        assert world.databases(beside) == ({beside} if restored else set())
        world.drop(beside)
        assert [manifest.id for manifest in world.manifests()] == [base.id]


def test_two_restores_at_once(world: World) -> None:
    """One replaces, the other is told who is at it: the deploy lock, or the lock of the name."""
    world.query("INSERT INTO person (name) VALUES ('after the backup')")
    replacing = {"argv": ["restoredb", "latest", "--yes-replace", world.live]}
    for _ in range(3):
        ended = world.together(replacing, replacing)
        codes = sorted(one.code for one in ended)
        assert codes in ([0, 75], [0, 0]), [one.out for one in ended]  # one after the other is well, too
        kept = world.databases(f"{world.live}_before_")
        assert len(kept) == codes.count(0)
        assert ROWS + 1 in {world.rows(name) for name in kept}
        assert world.rows() == ROWS
        assert world.databases(world.conf.scratch_prefix) == set()
        world.drop(*kept)
        world.query("INSERT INTO person (name) VALUES ('after the backup')")

    beside = f"{world.live}_look"
    into = {"argv": ["restoredb", "latest", "--into", beside]}
    for _ in range(3):
        ended = world.together(into, into)
        assert sorted(one.code for one in ended) == [0, 2]
        (refused,) = [one for one in ended if one.code]
        assert set(refused.ids) <= {"deploy.D009", "deploy.B009"}
        assert world.rows(beside) == ROWS
        assert world.databases(world.conf.scratch_prefix) == set()
        world.drop(beside)


@pytest.mark.parametrize("how", ["kill", "kill_after"])
def test_swapping_back(world: World, how: str) -> None:
    """What is live and what is kept change places, or nothing does."""
    world.query("INSERT INTO person (name) VALUES ('after the backup')")
    world.succeed("restoredb", "latest", "--yes-replace", world.live)
    number, rows = 1, {ROWS, ROWS + 1}
    while True:
        (kept,) = world.databases(f"{world.live}_before_")
        argv = ["restoredb", "--swap-back", kept, "--yes-replace", world.live]
        before = world.rows()
        ended = world.run(*argv, fault={"kind": how, "nth": number})
        assert ended.left == []
        (after,) = world.databases(f"{world.live}_before_")
        assert {world.rows(), world.rows(after)} == rows
        assert (world.rows() == before) == (after == kept)
        if not ended.killed:
            assert (ended.code, world.rows()) == (0, (rows - {before}).pop())
            return
        world.release_lock()
        number += 1
