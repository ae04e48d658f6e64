"""What maintenance mode costs a request while it is off: the middleware in front of a view that does nothing.

    python benchmarks/maintenance.py

Prints nanoseconds a request with and without it (best of several rounds), for the local bucket, and how often
the bucket was asked meanwhile.
"""

from __future__ import annotations

import os
import sys
import tempfile
import timeit
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

REQUESTS = 200_000
ROUNDS = 7


def main() -> None:
    from django.conf import settings

    with tempfile.TemporaryDirectory() as folder:
        settings.configure(DEPLOY={"BUCKET": f"file://{folder}"}, SECRET_KEY=os.urandom(32).hex())
        from django.http import HttpRequest, HttpResponse

        from deploy.buckets.local import LocalBucket
        from deploy.maintenance.middleware import MaintenanceMiddleware

        looks = 0
        read = LocalBucket.read

        def counted(bucket: LocalBucket, name: str) -> bytes:
            nonlocal looks
            looks += 1
            return read(bucket, name)

        LocalBucket.read = counted  # type: ignore[method-assign]  # to count
        response, request = HttpResponse(), HttpRequest()

        def view(_request: HttpRequest) -> HttpResponse:
            return response

        middleware = MaintenanceMiddleware(view)
        middleware(request)
        bare = min(timeit.repeat(lambda: view(request), number=REQUESTS, repeat=ROUNDS)) / REQUESTS
        behind = min(timeit.repeat(lambda: middleware(request), number=REQUESTS, repeat=ROUNDS)) / REQUESTS
        print(f"view alone            {bare * 1e9:7.0f} ns a request")
        print(f"behind the middleware {behind * 1e9:7.0f} ns a request: {(behind - bare) * 1e9:.0f} ns more")
        print(f"looks at the bucket   {looks:7d} for {REQUESTS * ROUNDS} requests")


if __name__ == "__main__":
    main()
