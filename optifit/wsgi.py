"""WSGI entry point: `gunicorn optifit.wsgi`."""

import os
import sys

from django.core.wsgi import get_wsgi_application

from optifit.environment import EnvironmentMistakes

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "optifit.settings")

try:
    application = get_wsgi_application()
except EnvironmentMistakes as mistakes:
    sys.stderr.write(f"{mistakes}\n")
    # gunicorn's WORKER_BOOT_ERROR: its master stops instead of starting the worker again and again.
    sys.exit(3)
