"""Google's Firestore emulator, one for all tests here; each test has projects of its own on it."""

from __future__ import annotations

import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from deploy.backup.firestore.connection import Database, connected


@pytest.fixture(scope="package")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Its endpoint, `http://127.0.0.1:PORT`. Started without gcloud's wrapper: its child would outlive us."""
    gcloud, java = shutil.which("gcloud"), shutil.which("java")
    assert gcloud
    assert java
    folder = Path(gcloud).resolve().parent.parent / "platform" / "cloud-firestore-emulator"
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = tmp_path_factory.mktemp("emulator") / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [
                java,
                "-Duser.language=en",
                "-cp",
                str(folder / "cloud-firestore-emulator.jar"),
                "com.google.cloud.datastore.emulator.firestore.CloudFirestore",
                "start",
                "--host=127.0.0.1",
                f"--port={port}",
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 120
        while "Dev App Server is now running" not in log.read_text():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def source() -> Database:
    return Database(f"source-{secrets.token_hex(4)}", "(default)")


@pytest.fixture
def target() -> Database:
    return Database(f"target-{secrets.token_hex(4)}", "restored")


@pytest.fixture
def client(emulator: str, source: Database) -> Iterator[Any]:
    with connected(source, emulator) as opened:
        yield opened


Put = Callable[[Database, dict[str, dict[str, Any]]], None]


@pytest.fixture
def put(client: Any) -> Put:
    """Write documents, whatever is there: put(database, {"a/b": {"field": {"integerValue": "1"}}})."""
    from google.cloud.firestore_v1.types import BatchWriteRequest

    from deploy.backup.firestore.lines import message_of

    def write(database: Database, documents: dict[str, dict[str, Any]]) -> None:
        names = iter(documents)
        while batch := list(islice(names, 400)):
            request = BatchWriteRequest(database=database.path)
            for name in batch:
                message = message_of(f"{database.documents}/{name}", documents[name])
                BatchWriteRequest.pb(request).writes.add().update.CopyFrom(message)
            assert not [status for status in client.batch_write(request).status if status.code]

    return write
