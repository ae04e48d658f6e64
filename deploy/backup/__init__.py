"""Backups that are proved: streamed out, described by a manifest, restored and compared.

Importing this costs nothing; what a name needs is imported when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalog import list_backups, read_manifest, scan, verify
    from .create import create_backup
    from .engines import database_name
    from .manifest import Manifest
    from .replace import drop_replaced, plan_replace, replace_database, require_replaced
    from .restore import restore_beside, restore_into
    from .retention import PrunePlan, apply_prune, plan_prune
    from .scratch import drop_scratch, drop_stale_scratch, scratch_name

__all__ = [
    "Manifest",
    "PrunePlan",
    "apply_prune",
    "create_backup",
    "database_name",
    "drop_replaced",
    "drop_scratch",
    "drop_stale_scratch",
    "list_backups",
    "plan_prune",
    "plan_replace",
    "read_manifest",
    "replace_database",
    "require_replaced",
    "restore_beside",
    "restore_into",
    "scan",
    "scratch_name",
    "verify",
]

_HOMES = {
    "Manifest": "manifest",
    "PrunePlan": "retention",
    "apply_prune": "retention",
    "create_backup": "create",
    "database_name": "engines",
    "drop_replaced": "replace",
    "drop_scratch": "scratch",
    "drop_stale_scratch": "scratch",
    "list_backups": "catalog",
    "plan_prune": "retention",
    "plan_replace": "replace",
    "read_manifest": "catalog",
    "replace_database": "replace",
    "require_replaced": "replace",
    "restore_beside": "restore",
    "restore_into": "restore",
    "scan": "catalog",
    "scratch_name": "scratch",
    "verify": "catalog",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
