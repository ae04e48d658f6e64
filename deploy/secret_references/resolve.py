"""Puts the values in the place of the references, before settings read them."""

from __future__ import annotations

from collections.abc import Collection, MutableMapping
from pathlib import Path
from typing import Any

from deploy.reporting.findings import Finding
from deploy.reporting.redaction import register_secret

from .findings import (
    FILE_UNREADABLE,
    FORBIDDEN,
    MALFORMED,
    NO_ANSWER,
    NO_CLIENT,
    NO_CREDENTIALS,
    NO_PROJECT,
    NOT_ENABLED,
    NOT_THERE,
    UNUSABLE,
)
from .reference import FILE, SECRET_MANAGER, Reference
from .secret_manager import Damaged, NoProject, read_all

LIMIT_SECONDS = 10.0


def resolve(
    environ: MutableMapping[str, str],
    *,
    files: Collection[str] = (),
    limit_seconds: float = LIMIT_SECONDS,
) -> dict[str, Finding]:
    """Replace each reference in `environ` by its value, for this process and those that it starts.

    `NAME_SECRET` becomes the version that NAME came from, which a backup keeps in the place of the value.
    Nothing is imported and nobody is asked where there is no reference.

    Args:
        environ: reads GOOGLE_CLOUD_PROJECT and SECRET_MANAGER_EMULATOR_HOST too.
        files: variables whose value may be `file:///PATH`; of others that is a value of its own (a bucket).
        limit_seconds: for all of them together.

    Returns:
        A finding by variable for each reference that has no value; those variables are left as they are.
    """
    refused: dict[str, Finding] = {}
    for name in files:
        if (text := environ.get(name, "").strip()).startswith(FILE):
            _take_file(environ, name, text, refused)
    wanted: dict[str, Reference] = {}
    for name, value in environ.items():
        if value.strip().startswith(SECRET_MANAGER):
            try:
                wanted[name] = Reference.parse(value.strip().removeprefix(SECRET_MANAGER))
            except ValueError as error:
                refused[name] = MALFORMED(variable=name, reason=error)
    if not wanted:
        return refused
    project = environ.get("GOOGLE_CLOUD_PROJECT", "")
    secrets = read_all(
        list(dict.fromkeys(wanted.values())),
        project=project,
        emulator=environ.get("SECRET_MANAGER_EMULATOR_HOST", ""),
        limit_seconds=limit_seconds,
    )
    for name, reference in wanted.items():
        secret, named = secrets[reference], reference.of_project(project)
        if isinstance(secret, Exception):
            refused[name] = _why_not(name, named, secret, limit_seconds)
        elif _take(environ, name, secret.data, str(named), refused):
            environ[f"{name}_SECRET"] = secret.version
    return refused


def _take_file(environ: MutableMapping[str, str], name: str, text: str, refused: dict[str, Finding]) -> None:
    path = Path(text.removeprefix(FILE))
    if not path.is_absolute():
        refused[name] = MALFORMED(variable=name, reason="the path after file:// is not absolute")
        return
    try:
        data = path.read_bytes()
    except OSError as error:
        refused[name] = FILE_UNREADABLE(variable=name, reference=text, reason=error.strerror, path=path)
        return
    _take(environ, name, data, text, refused)


def _take(
    environ: MutableMapping[str, str], name: str, data: bytes, reference: str, refused: dict[str, Finding]
) -> bool:
    """Put the value in place, without the line's end that editors and `echo` leave; False if it can't be."""
    try:
        value = data.decode().strip()
    except UnicodeDecodeError:
        refused[name] = UNUSABLE(variable=name, reference=reference, reason="it is not UTF-8")
        return False
    if not value or "\0" in value:
        reason = "it has a zero byte" if value else "it is empty"
        refused[name] = UNUSABLE(variable=name, reference=reference, reason=reason)
        return False
    register_secret(value)
    environ[name] = value
    return True


def _why_not(variable: str, reference: Reference, error: Exception, limit_seconds: float) -> Finding:
    values: dict[str, Any] = {"variable": variable, "reference": reference}
    place: dict[str, Any] = {"name": reference.name, "project": reference.project or "PROJECT"}
    if isinstance(error, ImportError):
        return NO_CLIENT(**values, module=error.name)
    if isinstance(error, NoProject):
        return NO_PROJECT(**values)
    if isinstance(error, Damaged):
        return UNUSABLE(**values, reason="it was damaged on its way")
    status = int(getattr(error, "code", 0) or 0)
    if status == 404:
        return NOT_THERE(**values, **place)
    if status in (401, 403):
        return FORBIDDEN(**values, **place)
    if status == 400:
        return NOT_ENABLED(**values, **place, reason=_reason(error))
    if type(error).__module__.startswith("google.auth.") and not _is_about_the_net(error):
        return NO_CREDENTIALS(**values, reason=type(error).__name__)
    return NO_ANSWER(
        **values, **place, version=reference.version, seconds=limit_seconds, reason=_reason(error)
    )


def _is_about_the_net(error: Exception) -> bool:
    return type(error).__name__ in ("TransportError", "TimeoutError")


def _reason(error: Exception) -> str:
    """The service's own words where it has answered, else the kind of error: no text that a library wrote."""
    cause = getattr(error, "cause", None) or error
    status, message = getattr(cause, "code", None), getattr(cause, "message", "")
    if status and isinstance(message, str) and message:
        # After the request's address, which google-api-core puts before it: "GET https://…: Secret …".
        return f"HTTP {int(status)} {message.partition(': ')[2] or message}".strip().rstrip(".")[:300]
    return "no answer" if isinstance(cause, TimeoutError) else type(cause).__name__
