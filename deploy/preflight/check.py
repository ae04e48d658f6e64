"""What a check is."""

from __future__ import annotations

from typing import ClassVar

from deploy.conf import DeployConf
from deploy.reporting.report import Step


class Check:
    """One area, looked at without changing anything. Runs in a thread of its own.

    Attributes:
        name: what `--only`, `--skip` and the step in the report are called.
        looks_at: one line for `--list`.
        fast: done within a moment and without the network beyond the database: part of the start hook.
    """

    name: ClassVar[str]
    looks_at: ClassVar[str]
    fast: ClassVar[bool] = False

    def limit_seconds(self, conf: DeployConf) -> float:
        """After so long the run goes on without this check's answer."""
        return conf.check_timeout_seconds

    def run(self, conf: DeployConf, step: Step) -> None:
        """Add findings and facts to `step`; `step.skip` where there is nothing to look at.

        May raise `Refusal` (its findings join the step); any other exception becomes deploy.P001.
        """
        raise NotImplementedError  # abstract: every check has its own
