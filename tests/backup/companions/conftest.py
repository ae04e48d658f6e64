from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

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
    return replace(configuration.read()[0], base_dir=base_dir, bucket=f"file://{tmp_path}/bucket")


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
