from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from django.core.management import call_command
from django.test import override_settings

from deploy import conf as configuration
from deploy.backup.archive import Stored, read_archive
from deploy.backup.companions import Folder
from deploy.backup.manifest import Companion
from deploy.backup.naming import Identity, new_id
from deploy.buckets.local import LocalBucket
from deploy.conf import DeployConf


@pytest.fixture
def here(tmp_path: Path) -> DeployConf:
    """The configuration of a project in `tmp_path/project`; no database of its own."""
    base_dir = tmp_path / "project"
    base_dir.mkdir()
    read = configuration.read()[0]
    return replace(
        read,
        base_dir=base_dir,
        bucket=f"file://{tmp_path}/bucket",
        backup=replace(read.backup, configuration_files=()),
    )


@pytest.fixture
def folder(bucket: LocalBucket) -> Folder:
    created = datetime.now(UTC)
    return Folder(bucket, Identity("p", "test", "db"), new_id(created, "r"), created, 1, lambda: None)


@pytest.fixture
def stored(folder: Folder) -> Callable[[Companion], bytes]:
    """The file of a companion that was kept in `folder`, checked."""

    def read(companion: Companion) -> bytes:
        part = companion.part
        assert part is not None
        expected = Stored(part.raw_bytes, part.stored_bytes, part.sha256, part.crc32c)
        name = folder.identity.object_name(folder.backup_id, part.file)
        with folder.bucket.open_read(name) as reader:
            return b"".join(read_archive(reader, expected))

    return read


@pytest.fixture
def document(stored: Callable[[Companion], bytes]) -> Callable[[Companion], dict[str, Any]]:
    return lambda companion: json.loads(stored(companion))


Command = Callable[..., tuple[int, dict[str, Any]]]


@pytest.fixture
def command(conf: DeployConf) -> Command:
    """Run a command with more keys in DEPLOY; returns its exit code and its JSON report."""

    def run(*arguments: str, **deploy: Any) -> tuple[int, dict[str, Any]]:
        wanted = {
            "PROJECT": conf.project,
            "ENVIRONMENT": conf.environment,
            "DATABASE": conf.database,
            "BUCKET": conf.bucket,
            "STATIC_BUCKET": conf.static_bucket,
            "SCRATCH_PREFIX": conf.scratch_prefix,
            **deploy,
        }
        out, code = io.StringIO(), 0
        with override_settings(DEPLOY=wanted):
            try:
                call_command(*arguments, "--format", "json", stdout=out, stderr=io.StringIO())
            except SystemExit as end:
                code = int(end.code or 0)
        return code, json.loads(out.getvalue())

    return run
