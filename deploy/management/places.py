"""Where in the project's source the findings of a command are."""

from __future__ import annotations

import re

from deploy.conf import DeployConf
from deploy.reporting.findings import Finding
from deploy.reporting.location import Locate, Location, by_place, top_of

_IN_AN_APP = re.compile(r"\w+(?:\.\w+)?\Z")


def locate_in(conf: DeployConf | None) -> Locate:
    """Where findings are: those about a migration, a model or an app are in its file in the work tree."""
    if conf is None:
        return by_place

    def locate(finding: Finding) -> Location | None:
        if at := by_place(finding):
            return at
        if not _IN_AN_APP.match(finding.place or ""):
            return None
        from deploy.gate.graph import source

        return source.locate(finding, top_of(conf.base_dir))

    return locate


def entry_point(conf: DeployConf | None) -> str:
    """manage.py as seen from the top of the work tree, or nothing where there is none."""
    if conf is None or not (conf.base_dir / "manage.py").is_file():
        return ""
    return (conf.base_dir.resolve() / "manage.py").relative_to(top_of(conf.base_dir)).as_posix()
