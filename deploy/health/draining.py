"""Whether this process is about to stop: its server says so by a file (DEPLOY["DRAIN_FILE"])."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from deploy import conf as configuration


def draining() -> bool:
    """True from the moment on that no new traffic is wanted; what comes all the same is served."""
    file = _drain_file()
    return file is not None and file.exists()


@cache
def _drain_file() -> Path | None:
    conf, _ = configuration.read()
    return Path(conf.drain_file) if conf.drain_file else None
