"""Settings of the test suite: OptiFit's own, in debug mode, on the embedded PostgreSQL of the test session."""

import os

os.environ.setdefault("DJANGO_DEBUG", "1")
os.environ.setdefault("RELEASE", "test-release")

from optifit.settings import *  # noqa: E402, F403
