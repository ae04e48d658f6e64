#!/usr/bin/env python3
"""Take a release live on this machine, and back, without losing a request: docs/how-to/roll-out.md."""

from __future__ import annotations

import os
import sys

from switching.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ, sys.stdout))
