"""The Django application. Kept almost empty: every `manage.py` start pays for what is imported here."""

import sys
from pathlib import Path
from typing import Any

from django.apps import AppConfig

_COMMANDS = Path(__file__).parent / "management" / "commands"


class DeployConfig(AppConfig):
    """`INSTALLED_APPS += ["deploy"]`. It has no models and no migrations of its own."""

    name = "deploy"
    verbose_name = "Deploy"

    def __init__(self, app_name: str, app_module: Any) -> None:
        super().__init__(app_name, app_module)
        # Without the driver of the default database, Django can't load a single model, and no command could
        # say what is wrong. Ours do; all others keep Django's own words.
        if len(sys.argv) > 1 and (_COMMANDS / f"{sys.argv[1]}.py").is_file():
            from deploy.databases.drivers import stand_in_for_missing

            stand_in_for_missing()
