"""OptiFit's settings for the type checker, which imports them but needs no database."""

import os

os.environ["DJANGO_DEBUG"] = "1"
os.environ["DATABASE_URL"] = "sqlite:///:memory:"

from optifit.settings import *  # noqa: F403 – the environment comes first; a settings module is its names
