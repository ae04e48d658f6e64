"""A registry of images on this machine: what gives them digests, and what a broken deploy can lose."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.system import free_port, listens, wait_for

PROGRAM = "/usr/bin/docker-registry"
STORAGE_BYTES = 4 * 2**30


@contextmanager
def running(storage: Path, folder: Path) -> Iterator[int]:
    """Serve what is in `storage`, which is emptied when it has grown too large; gives the port.

    `folder` is for the configuration and the log.
    """
    if storage.is_dir() and sum(path.stat().st_size for path in storage.rglob("data")) > STORAGE_BYTES:
        shutil.rmtree(storage)
    port = free_port()
    configuration = folder / "registry.yml"
    configuration.write_text(
        "version: 0.1\n"
        "log: {level: error, accesslog: {disabled: true}}\n"
        f"storage: {{filesystem: {{rootdirectory: {storage}}}, delete: {{enabled: true}}}}\n"
        f'http: {{addr: "127.0.0.1:{port}"}}\n'
    )
    with (folder / "registry.log").open("wb") as log:
        process = subprocess.Popen(
            # It ends with the tests, even when they are killed.
            ["/usr/bin/setpriv", "--pdeathsig", "KILL", PROGRAM, "serve", str(configuration)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env={"OTEL_TRACES_EXPORTER": "none"},
        )
    try:
        wait_for(lambda: listens(port), "the registry", seconds=60)
        yield port
    finally:
        process.kill()
        process.wait(30)
