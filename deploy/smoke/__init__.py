"""Smoke tests: the checklist against a container or the public address, before and after the switch."""

from .runner import run_probes
from .target import Target, parse_target

__all__ = ["Target", "parse_target", "run_probes"]
