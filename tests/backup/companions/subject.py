"""A process to be killed: it brings files back, says `reached` after the first, and waits."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.backup.subject import reached


def main() -> None:
    os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
    import django

    django.setup()
    from deploy.backup.companions import media_return
    from deploy.backup.manifest import Manifest
    from deploy.buckets.local import LocalBucket
    from deploy.reporting.report import Step

    bucket, manifest = sys.argv[1:]
    step = Step("media")
    step.progress = reached  # type: ignore[method-assign]  # a file has come back
    media_return.bring_back(
        LocalBucket(Path(bucket)),
        Manifest.from_bytes(Path(manifest).read_bytes()),
        changed_too=True,
        threads=1,
        step=step,
    )


if __name__ == "__main__":
    main()
