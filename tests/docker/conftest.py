import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .machine import ROOT, Machine, wait_for

# As rollout.py has it when it is run: its folder is on the path.
sys.path.insert(0, str(ROOT / "docker"))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[Machine]:
    found = Machine(tmp_path)
    yield found
    found.close()


@pytest.fixture
def served(machine: Machine) -> Machine:
    """A machine on which release A is live, in blue."""
    machine.serve("A")
    wait_for(lambda: machine.public() == "A")
    return machine
