"""How old the newest backup is, for whoever must be told: a command, a check, a metric."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from deploy.buckets import Bucket
from deploy.conf import DeployConf
from deploy.reporting.facts import human_seconds
from deploy.reporting.findings import Finding, Level

from .catalog import newest
from .engines import identity_of
from .findings_of_proofs import BACKUP_TOO_OLD, NO_BACKUP
from .manifest import Manifest
from .naming import Identity
from .proofs import grade_name, grade_number

_METRICS = (
    ("created_timestamp_seconds", "When the newest backup's snapshot was taken, Unix time."),
    ("age_seconds", "Age of the newest backup when this was written."),
    ("max_age_seconds", "The age from which on it is too old."),
    ("grade", "How far it is proved: 0 to 3, -1 for not at all."),
    ("stored_bytes", "What it takes in the bucket."),
    ("count", "1 if there is a backup, 0 if not."),
)


@dataclass(frozen=True, slots=True)
class Age:
    """What was found.

    Attributes:
        newest: that is not known to be damaged, of at least `least_grade` where one is given; None: there
            is none.
        age_seconds: since its snapshot. most_seconds: from which on it is too old.
        passed: a warning for each newer one that does not count: its manifest can't be read, it is damaged,
            or it is dated in the future.
    """

    identity: Identity
    newest: Manifest | None
    age_seconds: float | None
    most_seconds: float
    least_grade: str
    passed: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """There is one, and it is young enough."""
        return self.age_seconds is not None and self.age_seconds <= self.most_seconds

    def findings(self, level: Level = "error") -> list[Finding]:
        """What is wrong: deploy.B053 none, B052 too old, B022, B113 and B116 newer ones that do not count."""
        graded = f" of grade {self.least_grade} or more" if self.least_grade else ""
        found = list(self.passed)
        if self.newest is None:
            found.append(NO_BACKUP(identity=self.identity, graded=graded, level=level))
        elif not self.ok:
            found.append(
                BACKUP_TOO_OLD(
                    identity=self.identity,
                    graded=graded,
                    age=human_seconds(self.age_seconds or 0),
                    most=human_seconds(self.most_seconds),
                    id=self.newest.id,
                    level=level,
                )
            )
        return found

    def as_dict(self) -> dict[str, Any]:
        """JSON-like data for a report or a log line."""
        one = self.newest
        return {
            "backup": one.id if one else None,
            "created": one.created.isoformat() if one else None,
            "age_seconds": None if self.age_seconds is None else round(self.age_seconds),
            "max_age_seconds": round(self.most_seconds),
            "grade": grade_name(one.grade) if one else None,
            "least_grade": self.least_grade or None,
            "stored_bytes": one.stored_bytes if one else None,
        }

    def log_line(self) -> str:
        """One line of JSON, as Cloud Logging reads it from a container's output."""
        finding = next(iter(self.findings()[len(self.passed) :]), None)
        who = {"project": self.identity.project, "environment": self.identity.environment}
        return json.dumps(
            {
                "severity": "INFO" if self.ok else "ERROR",
                "message": finding.message if finding else f"A backup of {self.identity} is in time.",
                "deploy_backup": {**who, "database": self.identity.database, "ok": self.ok, **self.as_dict()},
            }
        )

    def metrics(self) -> str:
        """Prometheus' text format, which is OpenMetrics' too; what is not known is left out."""
        one = self.newest
        values = {"max_age_seconds": round(self.most_seconds), "count": int(one is not None)}
        if one is not None and self.age_seconds is not None:
            values |= {
                "created_timestamp_seconds": round(one.created.timestamp()),
                "age_seconds": round(self.age_seconds),
                "grade": -1 if one.grade is None else one.grade,
                "stored_bytes": one.stored_bytes,
            }
        labels = {
            "project": self.identity.project,
            "environment": self.identity.environment,
            "database": self.identity.database,
            "least_grade": self.least_grade or "none",
        }
        labelled = ",".join(f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in labels.items())
        lines = []
        for name, about in _METRICS:
            if name in values:
                full = f"deploy_backup_{name}"
                lines += [f"# HELP {full} {about}", f"# TYPE {full} gauge"]
                lines.append(f"{full}{{{labelled}}} {values[name]}")
        return "\n".join([*lines, "# EOF", ""])


def look_at_age(
    conf: DeployConf, bucket: Bucket, *, most_seconds: float | None = None, least_grade: str = ""
) -> Age:
    """The newest backup (of at least `least_grade`, as `L2`) and its age.

    Args:
        most_seconds: DEPLOY['BACKUP_MAX_AGE_SECONDS'], if not given.

    Raises:
        BucketError.
    """
    wanted = grade_number(least_grade) if least_grade else None
    found, passed = newest(conf, bucket, least_grade=wanted, sound=True)
    return Age(
        identity=identity_of(conf),
        newest=found,
        age_seconds=found.age_seconds if found else None,
        most_seconds=conf.backup.max_age_seconds if most_seconds is None else most_seconds,
        least_grade=least_grade,
        passed=tuple(passed),
    )
