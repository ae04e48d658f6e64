"""Runs rollout and kills it with SIGKILL at a state of the journal: killed.py STATE before|after ARGUMENT…

`before`: the state is about to be written; `after`: it is written, and its act not begun.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "docker"))

from switching.cli import main
from switching.journal import Journal

STATE, MOMENT = sys.argv[1:3]
save = Journal.save


def killing(journal, **changes):
    operation = changes.get("operation")
    if STATE == "done":  # the write that closes the operation
        hit = "operation" in changes and operation is None
    else:
        hit = operation is not None and operation.state == STATE
    if hit and MOMENT == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    save(journal, **changes)
    if hit:
        os.kill(os.getpid(), signal.SIGKILL)
    return journal.state


Journal.save = killing
sys.exit(main(sys.argv[3:], os.environ, sys.stdout))
