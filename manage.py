#!/usr/bin/env python
"""Django's command line for OptiFit."""

import os
import sys


def main() -> None:
    from optifit.development import use_embedded_defaults
    from optifit.environment import EnvironmentMistakes

    if use_embedded_defaults(sys.argv, os.environ):
        sys.stderr.write("No setting is set: development, with an embedded PostgreSQL under .deploy/\n")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "optifit.settings")
    from django.core.management import execute_from_command_line

    try:
        execute_from_command_line(sys.argv)
    except EnvironmentMistakes as mistakes:
        if "--traceback" in sys.argv:
            raise
        sys.stderr.write(f"{mistakes}\n")
        sys.exit(2)


if __name__ == "__main__":
    main()
