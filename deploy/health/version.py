"""What this process says about itself: the release, its commit and image, and since when it runs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from deploy import conf as configuration

_COMMIT = re.compile(r"^[0-9a-f]{7,64}$")
_STARTED = datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Version:
    """Attributes: release: its name, or None when RELEASE is not set. started: UTC, of this process."""

    release: str | None
    commit: str | None
    image: str | None
    started: datetime

    def as_dict(self) -> dict[str, str | None]:
        """The body of `/version`; `commit` and `image` are left out when they are not known."""
        body: dict[str, str | None] = {"release": self.release, "started": self.started.isoformat()}
        if self.commit:
            body["commit"] = self.commit
        if self.image:
            body["image"] = self.image
        return body


def this_process() -> Version:
    """Read once per process. A mistake in DEPLOY does not stop a server: preflight is who tells of it."""
    conf, _ = configuration.read()
    # A name that the configuration refuses could carry a line break, and that must not reach a header.
    release = conf.release if conf.release and configuration.NAME.match(conf.release) else None
    return Version(
        release=release,
        commit=release if release and _COMMIT.match(release) else None,
        image=conf.image or None,
        started=_STARTED,
    )
