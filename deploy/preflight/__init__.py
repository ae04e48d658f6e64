"""Preflight: everything that could have been known before a release goes out, checked in parallel."""

from __future__ import annotations

from .check import Check
from .runner import available_checks, run_checks

__all__ = ["Check", "available_checks", "run_checks"]
