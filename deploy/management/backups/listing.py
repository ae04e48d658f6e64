"""`backups list` and `backups show ID`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandParser

from deploy.conf import DeployConf
from deploy.reporting.facts import Rows, figures, human_bytes, human_seconds
from deploy.reporting.report import Report

if TYPE_CHECKING:
    from deploy.backup import Manifest


_LONGEST_RELEASE = 12


def list_arguments(parser: CommandParser) -> None:
    """Those of `list`."""
    parser.add_argument("--from-environment", default=None, metavar="ENVIRONMENT")


def show_arguments(parser: CommandParser) -> None:
    """Those of `show`."""
    parser.add_argument(
        "backup", metavar="ID", nargs="?", default="latest", help="A backup's id (default: latest)."
    )
    parser.add_argument("--from-environment", default=None, metavar="ENVIRONMENT")


def run_list(conf: DeployConf, report: Report, options: dict[str, Any]) -> None:
    """A step `backups list`: one row a backup, newest first."""
    from deploy import backup
    from deploy.buckets import open_bucket

    with report.step("backups list") as step:
        catalog = backup.scan(conf, open_bucket(conf.bucket), environment=options["from_environment"])
        step.extend(catalog.unreadable)
        rows = [_row(manifest) for manifest in catalog.manifests]
        step.facts["count"] = len(rows)
        step.facts["stored_bytes"] = sum(row["stored_bytes"] for row in rows)
        step.facts["backups"] = Rows(rows, shown=[_short(row) for row in rows])
        step.facts["unfinished"] = [info.name for info in catalog.unfinished]


def _row(manifest: Manifest) -> dict[str, Any]:
    from deploy.backup.proofs import grade_of

    return {
        "backup": manifest.id,
        "created": manifest.created.isoformat(),
        "age_seconds": round(manifest.age_seconds),
        "grade": grade_of(manifest),
        "release": manifest.release,
        "raw_bytes": manifest.raw_bytes,
        "stored_bytes": manifest.stored_bytes,
        "tables": len(manifest.tables),
        "rows": sum(manifest.tables.values()),
        "engine": f"{manifest.engine} {manifest.server_version}",
    }


def _short(row: dict[str, Any]) -> dict[str, Any]:
    """What fits into 80 columns: a backup is called by its moment, which every command takes for it."""
    release = str(row["release"])
    return {
        "backup": row["backup"].partition("-")[0],
        "age_seconds": row["age_seconds"],
        "grade": row["grade"],
        "size_bytes": row["stored_bytes"],
        "release": release if len(release) <= _LONGEST_RELEASE else f"{release[: _LONGEST_RELEASE - 1]}…",
        "engine": row["engine"].replace("postgresql", "pg"),
    }


def run_show(conf: DeployConf, report: Report, options: dict[str, Any]) -> None:
    """A step `backups show`: all that the manifest says."""
    from deploy import backup
    from deploy.buckets import open_bucket

    with report.step("backups show") as step:
        manifest = backup.read_manifest(
            conf, open_bucket(conf.bucket), options["backup"], environment=options["from_environment"]
        )
        about = _about(manifest)
        step.facts.update(backup=manifest.id, grade=about["grade"])
        named = [{"": key.replace("_", " "), "value": value} for key, value in _readable(about)]
        step.facts["about"] = Rows([about], shown=named)
        step.facts["proofs"] = Rows([proof.as_dict() for proof in manifest.proofs], shown=_proofs(manifest))
        step.facts["companions"] = Rows(_companions(manifest), shown=_short_companions(manifest))
        files = [part.as_dict() for part in manifest.files]
        short = ("file", "raw_bytes", "stored_bytes")
        step.facts["files"] = Rows(files, shown=[{key: row[key] for key in short} for row in files])
        step.facts["migrations"] = [
            f"{app}.{names[-1]}" for app, names in manifest.migrations.items() if names
        ]
        step.facts["table_rows"] = [
            {
                "table": table,
                "rows": rows,
                **({"digest": _digested(manifest, table)} if manifest.digests else {}),
            }
            for table, rows in sorted(manifest.tables.items(), key=lambda item: (-item[1], item[0]))
        ]


def _about(manifest: Manifest) -> dict[str, Any]:
    keys = ("project", "environment", "database", "client_version", "commit", "duration_seconds")
    more = ("digest_method", "objects", "extensions", "locale", "encryption")
    return {**_row(manifest), **{key: getattr(manifest, key) for key in (*keys, *more)}}


def _readable(about: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Each with its unit, because people see them in one column."""
    for key, value in about.items():
        if key == "backup" or value in (None, "", {}):
            continue
        if key.endswith("_bytes"):
            yield key.removesuffix("_bytes"), human_bytes(value)
        elif key.endswith("_seconds"):
            yield key.removesuffix("_seconds"), human_seconds(value)
        elif isinstance(value, dict):
            yield key, ", ".join(f"{name} {one}" for name, one in value.items() if one not in (None, 0, ""))
        else:
            yield key, ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _digested(manifest: Manifest, table: str) -> str:
    if table not in manifest.digests:
        return "counted only"
    return f"of every {manifest.samples[table]}th row" if table in manifest.samples else "of all rows"


def _proofs(manifest: Manifest) -> list[dict[str, Any]]:
    from deploy.backup.proofs import grade_name

    return [
        {
            "grade": grade_name(proof.grade) if proof.ok else f"{grade_name(proof.grade)} failed",
            "at": proof.at.isoformat(),
            "took_seconds": proof.seconds,
            "time_to_recover_seconds": proof.rto_seconds,
            "by": proof.by,
        }
        for proof in manifest.proofs
    ]


def _companions(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            **companion.as_dict(),
            # Positive: it is of later than the database's snapshot.
            "skew_seconds": round((companion.moment - manifest.created).total_seconds(), 3),
        }
        for companion in manifest.companions
    ]


def _short_companions(manifest: Manifest) -> list[dict[str, Any]]:
    return [
        {
            "kind": row["kind"],
            "skew": f"{row['skew_seconds']:+.1f} s",
            "size_bytes": row["part"]["stored_bytes"] if row["part"] else None,
            "facts": figures(row["facts"]),
        }
        for row in _companions(manifest)
    ]
