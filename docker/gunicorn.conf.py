"""gunicorn's settings in the container; WEB_CONCURRENCY, WEB_THREADS and PORT adapt it to the machine."""

import os
from pathlib import Path

bind = f"0.0.0.0:{os.environ.get('PORT', '8000')}"
# WEB_CONCURRENCY is gunicorn's own variable; its default of one worker would serve nobody while it restarts.
workers = int(os.environ.get("WEB_CONCURRENCY", "2"))
worker_class = "gthread"
threads = int(os.environ.get("WEB_THREADS", "8"))
# A worker that is silent for so long is killed; uploads are read by threads and don't count as silence.
timeout = 30
# Longer than the longest request and shorter than the 45 s that compose gives the container to stop.
graceful_timeout = 35
# Longer than the load balancer keeps idle connections, so that it is never us who closes under a request.
keepalive = 75
# The heartbeat files: on a disk, a slow fsync looks like a dead worker.
worker_tmp_dir = "/dev/shm" if Path("/dev/shm").is_dir() else None  # noqa: S108 – gunicorn makes safe names
control_socket_disable = True  # the file system is read-only, and nobody steers a container from inside
accesslog = None  # the proxy in front has one; this one would hold query strings
errorlog = "-"
