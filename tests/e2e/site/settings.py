"""OptiFit's own settings, and what only these tests need."""

import os

from optifit.settings import *  # noqa: F403 – a layer over them
from optifit.settings import MIDDLEWARE

ROOT_URLCONF = f"{__package__}.urls"
if os.environ.get("E2E_FAULT"):
    # Before the health endpoints, so that a fault can be theirs.
    MIDDLEWARE = [f"{__package__}.faults.Fault", *MIDDLEWARE]
