"""Reads secrets through Google's client, all at the same time, within a time limit that holds."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from .reference import Reference

_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
# One attempt, of several: an answer takes some 50 ms.
_ATTEMPT_SECONDS = 3.0

THREADS = "deploy-secrets"

K = TypeVar("K")


@dataclass(frozen=True, slots=True)
class Secret:
    """What was read.

    Attributes:
        version: `projects/NUMBER/secrets/NAME/versions/7`, with the number that an alias stood for.
    """

    data: bytes
    version: str

    def __repr__(self) -> str:
        return f"Secret({self.version})"


class NoProject(Exception):  # noqa: N818 – it states a fact
    """Neither the reference nor the environment names a project."""


class Damaged(Exception):  # noqa: N818 – it states a fact
    """The bytes that arrived are not those that were stored."""


def read_all(
    references: list[Reference], *, project: str, emulator: str, limit_seconds: float
) -> dict[Reference, Secret | Exception]:
    """Each secret, or why not: what Google's libraries raise, ImportError, NoProject, Damaged, TimeoutError.

    Args:
        project: of references that name none; empty for that of the credentials.
        emulator: address of a server that stands in for Google's (`http://127.0.0.1:PORT`), or empty.
    """
    try:
        # Before the time runs: this waits for nobody but the processor.
        import google.auth
        import google.cloud.secretmanager_v1  # noqa: F401
    except ImportError as error:
        return dict.fromkeys(references, error)
    deadline = time.monotonic() + limit_seconds
    client = _in_time({"client": partial(_connect, emulator)}, deadline)["client"]
    if isinstance(client, Exception):
        return dict.fromkeys(references, client)
    found, own_project = client
    jobs = {
        one: partial(_read, found, one.of_project(project or own_project), deadline) for one in references
    }
    outcomes = _in_time(jobs, deadline)
    found.transport.close()
    return outcomes


def _in_time(jobs: Mapping[K, Callable[[], Any]], deadline: float) -> dict[K, Any]:
    """What each job returned or raised; TimeoutError for those that are not done at the deadline.

    In daemon threads, because nothing else gives up on a library that waits: for a metadata server that is
    not there, for a name that nobody resolves.
    """
    answers: queue.SimpleQueue[tuple[K, Any]] = queue.SimpleQueue()

    def run(key: K, job: Callable[[], Any]) -> None:
        try:
            answers.put((key, job()))
        except Exception as error:  # noqa: BLE001 – handed to who waits for it
            answers.put((key, error))

    threads = [threading.Thread(target=run, args=item, name=THREADS, daemon=True) for item in jobs.items()]
    for thread in threads:
        thread.start()
    done: dict[K, Any] = {}
    while len(done) < len(jobs):
        try:
            key, outcome = answers.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            break
        done[key] = outcome
    else:
        for thread in threads:  # all have answered: whoever forks after this finds no thread
            thread.join()
    return {key: done.get(key, TimeoutError("no answer")) for key in jobs}


def _connect(emulator: str) -> tuple[Any, str]:
    """A client, and the project of its credentials (empty where they know none).

    Over REST: gRPC's threads would not survive that a server forks its workers.
    """
    from google.auth.credentials import AnonymousCredentials
    from google.cloud.secretmanager_v1 import SecretManagerServiceClient
    from google.cloud.secretmanager_v1.services.secret_manager_service.transports import (
        SecretManagerServiceRestTransport as Rest,
    )

    if emulator:
        scheme, _, host = emulator.rpartition("://")
        transport = Rest(host=host, credentials=AnonymousCredentials(), url_scheme=scheme or "http")
        return SecretManagerServiceClient(transport=transport), ""
    import google.auth

    credentials, project = google.auth.default(scopes=[_SCOPE])
    return SecretManagerServiceClient(transport=Rest(credentials=credentials)), project or ""


def _read(client: Any, reference: Reference, deadline: float) -> Secret:
    import google_crc32c
    from google.api_core.retry import Retry

    if not reference.project:
        raise NoProject
    left = max(0.1, deadline - time.monotonic())
    retry = Retry(predicate=_may_pass, initial=0.1, maximum=1.0, multiplier=2.0, timeout=left)
    answer = client.access_secret_version(
        name=reference.resource, retry=retry, timeout=min(_ATTEMPT_SECONDS, left)
    )
    data = bytes(answer.payload.data)
    if answer.payload.data_crc32c and answer.payload.data_crc32c != google_crc32c.value(data):
        raise Damaged
    return Secret(data, str(answer.name))


def _may_pass(error: Exception) -> bool:
    """Trying again can help."""
    import requests
    from google.api_core import exceptions as api
    from google.api_core.retry import if_transient_error

    return bool(if_transient_error(error)) or isinstance(
        error, api.BadGateway | api.GatewayTimeout | requests.Timeout
    )
