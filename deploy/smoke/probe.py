"""What a probe is, and what it may use: the target, the configuration, and a bounded way to ask."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from deploy.conf import DeployConf
from deploy.reporting.report import Step

from .exchange import Answer, ProbeStopped, exchange
from .findings import LEADS_AWAY
from .target import Target

# What a proxy answers for a server that is starting or being replaced, and such a server itself.
STARTING = frozenset({502, 503, 504})
RETRY_PAUSES_SECONDS = (0.2, 0.6, 1.5)
MOST_REDIRECTS = 3


@dataclass(frozen=True, slots=True)
class Context:
    """One run of the smoke test, as its probes see it. `deadline` is by `time.monotonic()`."""

    conf: DeployConf
    target: Target
    release: str | None
    deadline: float
    _pages: dict[str, Answer] = field(default_factory=dict)
    _pages_guard: threading.Lock = field(default_factory=threading.Lock)

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: bytes | None = None,
        target: Target | None = None,
        retry: bool = True,
    ) -> Answer:
        """One answer. A refused or dropped connection, and 502 to 504, are asked again a few times, for a
        server that is just being replaced; everything else is told as it is. A POST is sent once.

        Raises:
            ProbeStopped: there is no answer.
        """
        pauses = list(RETRY_PAUSES_SECONDS) if retry and method == "GET" else []
        while True:
            try:
                answer = exchange(
                    target or self.target,
                    method,
                    path,
                    deadline=self.deadline,
                    request_seconds=self.conf.check_timeout_seconds,
                    headers=headers,
                    body=body,
                )
            except ProbeStopped as stopped:
                if not (stopped.starting and self._pause(pauses)):
                    raise
            else:
                if not (answer.status in STARTING and self._pause(pauses)):
                    return answer

    def page(self, path: str) -> Answer:
        """A page as a visitor gets it: redirects on the same server are followed, three at most. Probes that
        look at the same page share one answer.

        Raises:
            ProbeStopped: there is no answer, or deploy.S005.
        """
        with self._pages_guard:
            if path in self._pages:
                return self._pages[path]
        where = path
        answer = self.ask(where)
        for _ in range(MOST_REDIRECTS):
            if answer.status not in (301, 302, 303, 307, 308):
                break
            where = self._on_this_server(where, answer.headers.get("location", ""))
            answer = self.ask(where)
        with self._pages_guard:
            return self._pages.setdefault(path, answer)

    def _on_this_server(self, path: str, location: str) -> str:
        """The path that `location` leads to. Raises ProbeStopped (deploy.S005) when it leads away."""
        here = f"{self.target.origin}{self.target.base_path}"
        goal = urlsplit(urljoin(f"{here}{path}", location))
        inside = goal.path.startswith(f"{self.target.base_path}/")
        if not location or f"{goal.scheme}://{goal.netloc}" != self.target.origin or not inside:
            raise ProbeStopped(LEADS_AWAY(path=path, location=location[:200], place=self.target.url))
        return goal.path.removeprefix(self.target.base_path) + (f"?{goal.query}" if goal.query else "")

    def _pause(self, pauses: list[float]) -> bool:
        if not pauses or time.monotonic() + pauses[0] >= self.deadline:
            return False
        time.sleep(pauses.pop(0))
        return True


@dataclass(frozen=True, slots=True)
class Probe:
    """One thing to look at.

    Attributes:
        name: the step's name in the report.
        look: records findings and facts, or a skip with its reason, in the step; may raise ProbeStopped.
        waits: the run waits for this one to be well before the others begin.
    """

    name: str
    look: Callable[[Context, Step], None]
    waits: bool = False
