"""Whether the database is backed up as it should be: a condition of `migrategate apply`, and a check."""

from __future__ import annotations

from dataclasses import replace

from deploy.backup import Manifest, newest, require_readable
from deploy.backup.age import look_at_age
from deploy.backup.cloudsql.drill import oversize_bytes
from deploy.backup.findings_of_proofs import APPLY_NEEDS_BACKUP, CLONE_PROVES_LESS, NOT_RESTORED
from deploy.backup.proofs import grade_name, grade_number
from deploy.buckets.base import BucketError
from deploy.conf import DeployConf
from deploy.gate.rehearsing.evidence import is_empty
from deploy.preflight import Check
from deploy.preflight.bucket import opened
from deploy.reporting.facts import human_bytes, human_seconds
from deploy.reporting.findings import Level, Refusal
from deploy.reporting.report import EXIT_REFUSED, Step

from .session import Session


def require_backup(
    session: Session, alias: str, step: Step, *, manifest: Manifest | None = None, most_grade: str = "L3"
) -> None:
    """Let migrations be applied only after a backup of the grade and age that the configuration asks for.

    It asks for nothing where `DEPLOY['BACKUP_APPLY_GRADE']` is empty, or the database is.

    Args:
        manifest: the backup to judge; the newest of the grade, if not given.
        most_grade: ask for no more than this.

    Raises:
        Refusal: deploy.B054 with exit code 1.
    """
    conf = replace(session.conf, database=alias)
    grade, most_seconds = conf.backup.apply_grade, conf.backup.apply_max_age_seconds
    if not grade:
        return
    if is_empty(alias):
        step.facts["backup"] = "none needed: the database is empty"
        return
    grade = min(grade, most_grade)
    least = grade_number(grade)
    one = manifest or newest(conf, session.bucket, least_grade=least, sound=True)[0]
    if one is None:
        found = _without(newest(conf, session.bucket)[0])
    elif one.grade is None or one.grade < least:
        found = _without(one)
    elif one.age_seconds > most_seconds:
        found = f"the newest of them, {one.id}, is {human_seconds(one.age_seconds)} old"
    else:
        step.facts["backup"] = f"{one.id}, L{one.grade}, {human_seconds(one.age_seconds)} old"
        return
    command = "python manage.py predeploy" if grade == "L3" else "python manage.py backupdb --prove"
    most = human_seconds(most_seconds)
    raise Refusal(
        APPLY_NEEDS_BACKUP(grade=grade, most=most, found=found, command=command), exit_code=EXIT_REFUSED
    )


def require_reachable(conf: DeployConf, step: Step) -> None:
    """An error of the step (deploy.B115) if no drill of this database proves what `require_backup` asks for.

    Raises:
        Refusal: deploy.D004, D005.
    """
    grade = conf.backup.apply_grade
    if not grade or grade_number(grade) < 2 or conf.backup.grade != "L3" or is_empty(conf.database):
        return
    if size := oversize_bytes(conf):
        step.add(CLONE_PROVES_LESS(grade=grade, size=human_bytes(size)))


def _without(newest_of_all: Manifest | None) -> str:
    if newest_of_all is None:
        return "there is none"
    how = "damaged" if newest_of_all.damage else "not proved at all"
    if newest_of_all.grade is not None:
        how = f"proved to {grade_name(newest_of_all.grade)}"
    return f"the newest, {newest_of_all.id}, is {how}"


class BackupCheck(Check):
    """Of the pipeline and not of preflight's own: no capability knows another.

    Args:
        none_yet: the level of there being none; `predeploy` is about to take the first.
    """

    name = "backup_age"
    looks_at = "the newest backup: there is one, it is young enough, and it was restored once"

    def __init__(self, *, none_yet: Level = "warning") -> None:
        self._none_yet = none_yet

    def run(self, conf: DeployConf, step: Step) -> None:
        try:
            with opened(conf.bucket, retry_seconds=self.limit_seconds(conf) / 2) as bucket:
                age = look_at_age(conf, bucket)
        except BucketError:
            step.skip("the bucket did not answer; the check bucket says why")
            return
        except Refusal as refusal:  # whose backups to look for is not known
            step.skip("; ".join(one.message.rstrip(".") for one in refusal.findings))
            return
        step.facts.update(age.as_dict())
        # A deploy takes a backup of its own: that yesterday's is missing must be known, and stops nothing.
        step.extend(age.findings("warning" if age.newest else self._none_yet))
        if age.ok and age.newest is not None and (age.newest.grade or 0) < 2:
            step.add(NOT_RESTORED(id=age.newest.id, grade=grade_name(age.newest.grade)))


class BackupKeyCheck(Check):
    """A key that is named and can't be used is found out today, not on the worst day."""

    name = "backup_key"
    looks_at = "the private key of DEPLOY['BACKUP_AGE_IDENTITY']: it is readable, by us only, and fits"

    def run(self, conf: DeployConf, step: Step) -> None:
        if not conf.backup.age_recipients:
            step.skip("backups are not encrypted")
        elif not conf.backup.age_identity:  # by intent: what takes backups need not be able to read them
            step.skip("DEPLOY['BACKUP_AGE_IDENTITY'] names none: this machine is not to read backups")
        else:
            step.extend(require_readable(conf))
