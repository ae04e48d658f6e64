"""When manage.py may work with no setting at all: on a laptop, for deploy's commands, and never else."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

from deploy.databases import embedded

from .environment import VARIABLES

DEPLOY_COMMANDS = frozenset(
    {
        "announce",
        "backupdb",
        "backups",
        "migrategate",
        "postdeploy",
        "predeploy",
        "preflight",
        "releases",
        "restoredb",
        "rollback",
        "smoketest",
        "uploadstatic",
    }
)


def use_embedded_defaults(argv: Sequence[str], environ: MutableMapping[str, str]) -> bool:
    """Switch `environ` to development for a newcomer's first `manage.py predeploy`; True if it did.

    Only if the command is one of deploy's, not one of OptiFit's variables is set (one that is set means
    that somebody configures this process, and a missing one is then a mistake to be told), and the
    embedded PostgreSQL is installed, which production's requirements.txt does not have. Only manage.py
    calls this: a server process never does.
    """
    if len(argv) < 2 or argv[1] not in DEPLOY_COMMANDS:
        return False
    if any(variable in environ for variable in VARIABLES):
        return False
    if environ.get("DJANGO_SETTINGS_MODULE", "optifit.settings") != "optifit.settings":
        return False
    if not embedded.is_installed():
        return False
    environ["DJANGO_DEBUG"] = "1"
    return True
