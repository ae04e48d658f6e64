"""Scratch databases: where a backup is proved. Only names that are provably ours are ever dropped."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from deploy.conf import DeployConf
from deploy.databases.postgresql import BUSY
from deploy.reporting.findings import Refusal

from .engines import Engine, engine_of, identity_of
from .findings import NOT_SCRATCH
from .naming import slug

# So many backups of one database are proved side by side at most.
_PROVED_AT_ONCE = 8


def scratch_prefix(conf: DeployConf) -> str:
    """How the names of this database's scratch databases begin: the configured prefix and its tag."""
    return identity_of(conf).scratch_prefix(conf.scratch_prefix)


def scratch_name(conf: DeployConf, release: str) -> str:
    """The scratch database for a release: a name of at most 63 bytes, or the path of a SQLite file."""
    rest = f"{slug(release, 12).lower()}_{hashlib.sha256(release.encode()).hexdigest()[:8]}"
    return engine_of(conf).scratch_name(scratch_prefix(conf), rest)


def drop_scratch(conf: DeployConf, name: str) -> None:
    """Drop a scratch database, if it is there.

    Raises:
        Refusal: deploy.B010 for any name that is not one of this database's scratch names.
    """
    engine, prefix = engine_of(conf), scratch_prefix(conf)
    require_scratch(conf, engine, name, prefix)
    engine.drop(name)


def require_scratch(conf: DeployConf, engine: Engine, name: str, prefix: str) -> None:
    """Refuse (deploy.B010) a name that is not a scratch name of this database."""
    if not engine.is_named(name, prefix):
        raise Refusal(NOT_SCRATCH(name=name, identity=identity_of(conf), prefix=prefix))


@contextmanager
def proving_scratch(conf: DeployConf) -> Iterator[tuple[Engine, str]]:
    """The engine, and the name of a scratch database that is this block's alone: locked, and dropped with it.

    No release's, on which a deploy may be rehearsing. There are a few numbered names, because a SQLite file's
    lock is a file that stays: the first that nobody holds is taken. What killed ones left is dropped first.

    Raises:
        Refusal: deploy.D009 when all of them are held.
    """
    engine, prefix = engine_of(conf), scratch_prefix(conf)
    names = [engine.scratch_name(prefix, f"proof_{number}") for number in range(1, _PROVED_AT_ONCE + 1)]
    with ExitStack() as held:
        for name in names:
            try:
                held.enter_context(engine.locked(name, "proving a backup in"))
                break
            except Refusal as refusal:
                if not _is_busy(refusal) or name == names[-1]:
                    raise
        for left in set(engine.names(prefix)) & {*names} - {name}:
            _drop_unless_held(engine, left)
        engine.drop(name)
        try:
            yield engine, name
        finally:
            engine.drop(name)


def drop_stale_scratch(conf: DeployConf) -> list[str]:
    """Drop this database's scratch databases that nobody is filling at the moment; returns their names.

    Call it with the deploy lock held: a scratch database that is being rehearsed on counts as stale.
    """
    engine, prefix = engine_of(conf), scratch_prefix(conf)
    return [name for name in engine.names(prefix) if _drop_unless_held(engine, name)]


def _drop_unless_held(engine: Engine, name: str) -> bool:
    """Drop it, and say so, unless another process is at it."""
    try:
        with engine.locked(name, "dropping"):
            engine.drop(name)
    except Refusal as refusal:
        if _is_busy(refusal):
            return False
        raise
    return True


def _is_busy(refusal: Refusal) -> bool:
    return any(finding.id == BUSY.id for finding in refusal.findings)
