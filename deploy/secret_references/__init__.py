"""Secrets by reference: an environment variable says where its value lies instead of holding it.

`sm://[PROJECT/]NAME[#VERSION]` is a secret of Google Secret Manager, `file:///PATH` one of Docker's or
Kubernetes'. Settings call `resolve(os.environ)` before they read anything.
"""

from __future__ import annotations

from .reference import Reference
from .resolve import resolve

__all__ = ["Reference", "resolve"]
