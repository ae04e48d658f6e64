"""What a deploy makes of a companion that failed: the database is backed up, so it warns and goes on."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from deploy.backup.companions.media import FILES_MISSING, files_missing
from deploy.conf import DeployConf
from deploy.reporting.findings import Finding


def judged(conf: DeployConf, findings: Iterable[Finding], *, again: bool = False) -> list[Finding]:
    """The findings of a backup whose manifest exists, as a deploy takes them: an error is a warning.

    Only what `DEPLOY['MEDIA_STRICT']` asks for stays an error (deploy.B068).

    Args:
        again: they were found by an earlier run, so whether the files are still missing is looked up; if that
            can't be done, they are.
    """
    found = []
    for one in findings:
        strict = conf.backup.media_strict and one.id == FILES_MISSING.id
        if strict and again and files_missing(conf) == 0:
            strict = False  # the backup was taken without them, and they are back
        level = "error" if strict else "warning" if one.level == "error" else one.level
        found.append(replace(one, level=level))
    return found
