"""Archives that only the holder of a private key can read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyrage
import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import override_settings

from deploy import backup
from deploy.backup import encryption
from deploy.backup.archive import ArchiveDamaged, Stored, read_archive, write_archive
from deploy.backup.manifest import Manifest
from deploy.buckets.base import BucketError
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf
from deploy.databases.client_tools import find_tool
from deploy.releases.backed_up import BackupKeyCheck
from deploy.reporting.findings import Refusal
from deploy.reporting.redaction import redact
from deploy.reporting.report import Step

from .companions import media_models

Guard = Callable[[], None]


@pytest.fixture
def key() -> pyrage.x25519.Identity:
    return pyrage.x25519.Identity.generate()


@pytest.fixture
def key_file(key: pyrage.x25519.Identity, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As age-keygen writes it, and where the environment says."""
    path = tmp_path / "key.txt"
    path.touch(mode=0o600)
    path.write_text(f"# created: 2026-11-25T00:00:00Z\n# public key: {key.to_public()}\n{key}\n")
    monkeypatch.setenv("BACKUP_AGE_IDENTITY", str(path))
    return path


@pytest.fixture
def sealed(conf: DeployConf, key: pyrage.x25519.Identity, key_file: Path) -> DeployConf:
    recipients = (str(key.to_public()),)
    return replace(conf, backup=replace(conf.backup, age_recipients=recipients, age_identity=str(key_file)))


def take(conf: DeployConf, bucket: LocalBucket, guard: Guard) -> Manifest:
    return backup.create_backup(conf, bucket, release="v1", step=Step("backup"), guard=guard)


def test_an_encrypted_backup_is_restored_and_holds_nothing_readable(
    sealed: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, key: pyrage.x25519.Identity
) -> None:
    manifest = take(sealed, bucket, no_guard)
    step = Step("restore")

    verified = backup.verify(bucket, manifest, step=Step("verify"))
    facts = backup.restore_into(sealed, bucket, manifest, name=backup.scratch_name(sealed, "v1"), step=step)

    assert manifest.encryption == {"method": "age", "recipients": [str(key.to_public())]}
    assert verified["raw_bytes"] == manifest.raw_bytes
    assert facts["rows"] == sum(manifest.tables.values())
    assert [finding for finding in step.findings if finding.level == "error"] == []
    for part in manifest.files:  # companions too
        stored = bucket.read(manifest.object_name(part.file))
        assert stored.startswith(b"age-encryption.org/v1\n")
        assert hashlib.sha256(stored).hexdigest() == part.sha256
    assert str(key).encode() not in bucket.read(manifest.manifest_name)


def test_nothing_of_rows_names_of_files_or_configuration_is_readable_in_the_bucket(
    sealed: DeployConf,
    bucket: LocalBucket,
    live: str,
    no_guard: Guard,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    query: Callable[..., list[object]],
) -> None:
    canary = "canary-6b1f"
    root, project = tmp_path / "media", tmp_path / "project"
    root.mkdir()
    project.mkdir()
    (root / f"{canary}-there.png").write_text(canary)
    (project / "compose.yaml").write_text(f"image: {canary}\n")
    monkeypatch.setattr(
        apps, "get_models", lambda **_: media_models.make(*media_models.folder_storages(root))
    )
    query(media_models.TABLES)
    query(f"INSERT INTO doc_document VALUES (1, '{canary}-gone.png', NULL), (2, '{canary}-there.png', NULL)")  # noqa: S608
    wanted = replace(
        sealed,
        base_dir=project,
        backup=replace(sealed.backup, media_bucket=f"file://{root}", configuration_files=("compose.yaml",)),
    )

    manifest = take(wanted, bucket, no_guard)

    facts = {companion.kind: companion.facts for companion in manifest.companions}
    assert facts["media"]["missing"] == 1
    assert facts["configuration"]["files"] == 1
    stored = [info.name for info in bucket.list("")]
    assert len(stored) == 4  # the archive, the two companions, the manifest
    assert [name for name in stored if canary.encode() in bucket.read(name)] == []


def test_without_software_of_ours_it_is_read_with_age_and_zstd(
    sealed: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, key_file: Path
) -> None:
    age, zstd = shutil.which("age"), shutil.which("zstd")
    if age is None or zstd is None:
        pytest.skip("needs age and zstd: apt-get install age zstd")
    manifest = take(sealed, bucket, no_guard)
    archive = bucket.read(manifest.object_name(manifest.parts[0].file))

    compressed = subprocess.run(
        [age, "--decrypt", "--identity", str(key_file)], input=archive, capture_output=True, check=True
    )
    raw = subprocess.run(
        [zstd, "--decompress", "--stdout"], input=compressed.stdout, capture_output=True, check=True
    )
    tool = find_tool("pg_restore", server_major=int(manifest.client_version))
    listed = subprocess.run([tool.path, "--list"], input=raw.stdout, capture_output=True, check=True)

    assert len(raw.stdout) == manifest.parts[0].raw_bytes
    assert b"TABLE DATA public person" in listed.stdout


@pytest.mark.parametrize(
    ("content", "wanted"),
    [
        (None, "deploy.B102"),
        ("", "deploy.B102"),
        ("# only a comment\n", "deploy.B102"),
        ("AGE-SECRET-KEY-1QQQQ\n", "deploy.B102"),
        ("\udcff", "deploy.B102"),
        ("another", "deploy.B103"),
    ],
)
def test_a_key_that_is_no_use_is_a_refusal_that_shows_nothing_of_it(
    sealed: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    key_file: Path,
    content: str | None,
    wanted: str,
) -> None:
    manifest = take(sealed, bucket, no_guard)
    if content is None:
        key_file.unlink()
    elif content == "another":
        key_file.write_text(str(pyrage.x25519.Identity.generate()))
    else:
        key_file.write_text(content, errors="surrogateescape")

    for act in (
        lambda: encryption.require_readable(sealed),
        lambda: encryption.require_readable(sealed, manifest),
        lambda: backup.verify(bucket, manifest, step=Step("verify")),
    ):
        with pytest.raises(Refusal) as refused:
            act()
        assert [finding.id for finding in refused.value.findings] == [wanted]
        assert refused.value.exit_code == 2
        assert "SECRET-KEY-1Q" not in refused.value.findings[0].message


def test_no_key_at_all_and_one_that_everybody_can_read(
    sealed: DeployConf, key_file: Path, key: pyrage.x25519.Identity
) -> None:
    without = replace(sealed, backup=replace(sealed.backup, age_identity=""))
    with pytest.raises(Refusal) as refused:
        encryption.require_readable(without)
    assert refused.value.findings[0].id == "deploy.B101"

    assert encryption.require_readable(sealed) == []
    key_file.chmod(0o644)
    assert [finding.id for finding in encryption.require_readable(sealed)] == ["deploy.B104"]
    assert str(key) not in redact(f"a key: {key}")


@pytest.mark.parametrize("kind", ["pipe", "folder"])
def test_a_key_that_could_be_read_only_once_is_refused_and_not_waited_for(
    sealed: DeployConf, tmp_path: Path, kind: str
) -> None:
    place = tmp_path / kind
    os.mkfifo(place) if kind == "pipe" else place.mkdir()  # nobody writes to it
    given = replace(sealed, backup=replace(sealed.backup, age_identity=str(place)))

    with pytest.raises(Refusal) as refused:
        encryption.require_readable(given)

    assert refused.value.findings[0].id == "deploy.B102"
    assert "pipe or a folder" in refused.value.findings[0].message


@pytest.mark.parametrize("written", ["\ufeff# by an editor\r\n{key}\r\n", "\n  {key}  \n"])
def test_a_key_is_read_however_the_file_was_saved(
    sealed: DeployConf, key_file: Path, key: pyrage.x25519.Identity, written: str
) -> None:
    key_file.write_bytes(written.format(key=key).encode())

    assert encryption.require_readable(sealed) == []


@pytest.mark.parametrize(
    "command",
    [
        ("restoredb", "latest", "--dry-run"),
        ("restoredb", "latest", "--into", "beside", "--dry-run"),
        ("restoredb", "latest", "--into-schema", "beside", "--table", "person", "--dry-run"),
        ("backups", "verify", "latest"),
        ("backupdb", "--prove"),
    ],
)
def test_without_the_key_a_command_says_so_before_it_does_anything(
    sealed: DeployConf,
    bucket: LocalBucket,
    awkward: str,
    no_guard: Guard,
    monkeypatch: pytest.MonkeyPatch,
    command: tuple[str, ...],
) -> None:
    take(sealed, bucket, no_guard)
    monkeypatch.delenv("BACKUP_AGE_IDENTITY")
    before = [info.name for info in bucket.list("")]

    code, ids = called(sealed, *command)

    assert (code, ids) == (2, ["deploy.B101"])
    assert [info.name for info in bucket.list("")] == before


def test_stored_bytes_are_verified_without_the_key(
    sealed: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(sealed, bucket, no_guard)
    monkeypatch.delenv("BACKUP_AGE_IDENTITY")

    assert called(sealed, "backups", "verify", "latest", "--grade", "L0") == (0, [])
    without = replace(sealed, backup=replace(sealed.backup, age_identity=""))
    assert encryption.require_readable(without, grade="L0") == []


def called(conf: DeployConf, *command: str) -> tuple[int, list[str]]:
    """The exit code and the ids of the findings."""
    wanted = {
        "PROJECT": conf.project,
        "ENVIRONMENT": conf.environment,
        "DATABASE": conf.database,
        "BUCKET": conf.bucket,
        "STATIC_BUCKET": conf.static_bucket,
        "SCRATCH_PREFIX": conf.scratch_prefix,
        "BACKUP_AGE_RECIPIENTS": list(conf.backup.age_recipients),
    }
    out, code = io.StringIO(), 0
    with override_settings(DEPLOY=wanted):
        try:
            call_command(*command, "--format", "json", stdout=out, stderr=io.StringIO())
        except SystemExit as end:
            code = int(end.code or 0)
    report = json.loads(out.getvalue())
    return code, [finding["id"] for step in report["steps"] for finding in step["findings"]]


@pytest.mark.parametrize("text", ["age1xyz", "", "ssh-ed25519 AAAA", "SECRET"])
def test_a_recipient_that_is_none_is_refused_before_anything_is_done(
    conf: DeployConf, bucket: LocalBucket, awkward: str, no_guard: Guard, text: str
) -> None:
    given = str(pyrage.x25519.Identity.generate()) if text == "SECRET" else text
    wrong = replace(conf, backup=replace(conf.backup, age_recipients=(given,)))

    with pytest.raises(Refusal) as refused:
        take(wrong, bucket, no_guard)

    assert (refused.value.findings[0].id, refused.value.exit_code) == ("deploy.B100", 2)
    assert "AGE-SECRET-KEY" not in refused.value.findings[0].message
    assert list(bucket.list("")) == []


def test_every_flipped_bit_and_every_cut_is_found_with_and_without_the_hash() -> None:
    key = pyrage.x25519.Identity.generate()
    raw = random.Random(4).randbytes(300_000)  # noqa: S311 – content that can be had again
    out = io.BytesIO()
    seal = encryption.sealing((str(key.to_public()),))
    stored = write_archive(io.BytesIO(raw), out, level=1, progress=lambda _: None, seal=seal)
    archive = out.getvalue()
    assert read(archive, stored, key) == raw
    chosen = random.Random(5)  # noqa: S311 – as above
    places = [chosen.randrange(len(archive) * 8) for _ in range(200)]
    damaged = [flipped(archive, bit) for bit in places]
    damaged += [archive[: chosen.randrange(len(archive))] for _ in range(50)]

    for content in damaged:
        assert hashlib.sha256(content).hexdigest() != stored.sha256  # L0
        blind = Stored(stored.raw_bytes, len(content), hashlib.sha256(content).hexdigest(), "")
        with pytest.raises(ArchiveDamaged):  # L1, by what age and zstd find themselves
            read(content, blind, key)


def flipped(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def test_preflight_looks_at_the_key_where_one_is_named(
    sealed: DeployConf, conf: DeployConf, key_file: Path
) -> None:
    def checked(of: DeployConf) -> Step:
        step = Step("backup_key")
        BackupKeyCheck().run(of, step)
        return step

    assert (checked(sealed).findings, checked(sealed).skipped) == ([], None)
    without = replace(sealed, backup=replace(sealed.backup, age_identity=""))
    assert "not to read backups" in str(checked(without).skipped)
    assert checked(conf).skipped == "backups are not encrypted"
    key_file.unlink()
    with pytest.raises(Refusal) as refused:
        checked(sealed)
    assert [found.id for found in refused.value.findings] == ["deploy.B102"]


def read(content: bytes, stored: Stored, key: pyrage.x25519.Identity) -> bytes:
    unseal = encryption._unsealing_with(pyrage, [key])
    return b"".join(read_archive(io.BytesIO(content), stored, unseal=unseal))


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), TimeoutError("slow"), BucketError("gone")])
def test_a_bucket_that_fails_is_not_taken_for_a_damaged_archive(error: Exception) -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell():
                raise error
            return super().read(size)

    key, out = pyrage.x25519.Identity.generate(), io.BytesIO()
    seal = encryption.sealing((str(key.to_public()),))
    source = io.BytesIO(random.Random(6).randbytes(3_000_000))  # noqa: S311 – content that can be had again
    stored = write_archive(source, out, level=1, progress=lambda _: None, seal=seal)
    unseal = encryption._unsealing_with(pyrage, [key])

    with pytest.raises(type(error), match=str(error)):
        for _ in read_archive(Failing(out.getvalue()), stored, unseal=unseal):
            pass


def test_what_a_source_raises_reaches_the_caller_as_it_is_and_no_thread_stays(
    key: pyrage.x25519.Identity,
) -> None:
    class Broken:
        left = 40

        def read(self, size: int = -1, /) -> bytes:
            self.left -= 1
            if not self.left:
                raise LookupError("the pipe broke")
            return os.urandom(min(size, 65536))

    seal = encryption.sealing((str(key.to_public()),))

    with pytest.raises(LookupError, match="the pipe broke"):
        write_archive(Broken(), io.BytesIO(), level=1, progress=lambda _: None, seal=seal)
    with pytest.raises(ZeroDivisionError):
        write_archive(
            io.BytesIO(bytes(40_000_000)), io.BytesIO(), level=1, progress=lambda _: 1 // 0, seal=seal
        )

    deadline = time.monotonic() + 10
    while any(thread.name in ("age", "archive-compress") for thread in threading.enumerate()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
