"""Backups that are proved: streamed out, described by a manifest, restored and compared.

Importing this costs nothing; what a name needs is imported when the name is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .catalog import list_backups, newest, read_manifest, scan, verify
    from .create import create_backup
    from .encryption import require_readable
    from .engines import database_name
    from .kept import drop_replaced, is_kept, list_kept, plan_swap_back, require_replaced, swap_back
    from .loss import written_since
    from .manifest import Manifest
    from .policy import Policy
    from .proofs import failures_recorded, prove
    from .replace import plan_replace, replace_database
    from .restore import require_new, restore_beside, restore_into
    from .retention import PrunePlan, apply_prune, plan_prune
    from .scratch import drop_scratch, drop_stale_scratch, scratch_name
    from .tables import plan_tables, restore_tables

__all__ = [
    "Manifest",
    "Policy",
    "PrunePlan",
    "apply_prune",
    "create_backup",
    "database_name",
    "drop_replaced",
    "drop_scratch",
    "drop_stale_scratch",
    "failures_recorded",
    "is_kept",
    "list_backups",
    "list_kept",
    "newest",
    "plan_prune",
    "plan_replace",
    "plan_swap_back",
    "plan_tables",
    "prove",
    "read_manifest",
    "replace_database",
    "require_new",
    "require_readable",
    "require_replaced",
    "restore_beside",
    "restore_into",
    "restore_tables",
    "scan",
    "scratch_name",
    "swap_back",
    "verify",
    "written_since",
]

_HOMES = {
    "Manifest": "manifest",
    "Policy": "policy",
    "PrunePlan": "retention",
    "apply_prune": "retention",
    "create_backup": "create",
    "database_name": "engines",
    "drop_replaced": "kept",
    "drop_scratch": "scratch",
    "drop_stale_scratch": "scratch",
    "failures_recorded": "proofs",
    "is_kept": "kept",
    "list_backups": "catalog",
    "list_kept": "kept",
    "newest": "catalog",
    "plan_prune": "retention",
    "plan_replace": "replace",
    "plan_swap_back": "kept",
    "plan_tables": "tables",
    "prove": "proofs",
    "read_manifest": "catalog",
    "replace_database": "replace",
    "require_new": "restore",
    "require_replaced": "kept",
    "require_readable": "encryption",
    "restore_beside": "restore",
    "restore_into": "restore",
    "restore_tables": "tables",
    "scan": "catalog",
    "scratch_name": "scratch",
    "swap_back": "kept",
    "verify": "catalog",
    "written_since": "loss",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
