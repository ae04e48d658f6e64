"""Names from outside, checked before anything is done with them."""

from __future__ import annotations

import re

from .problems import NOT_A_DIGEST, NOT_USABLE

PARTS = ("backend", "frontend")
COLOURS = ("blue", "green")

# https://github.com/distribution/reference: a host with a port or dots, path components, and no tag (which
# Docker would ignore beside a digest, so that it says what may not be true).
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_HOST = r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?(?::[0-9]{1,5})?"
_IMAGE = re.compile(rf"(?:{_HOST}/)?{_COMPONENT}(?:/{_COMPONENT})*@sha256:[0-9a-f]{{64}}\Z")
_RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")  # as DEPLOY's NAME
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}\Z")
_HOST_NAME = re.compile(r"(?=.{1,253}\Z)[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\Z")
_DURATION = re.compile(r"([0-9]{1,5})([smh])\Z")
_SHARE = re.compile(r"([0-9]{1,2}(?:\.[0-9]+)?)%\Z")
_UNITS = {"s": 1, "m": 60, "h": 3600}
BUCKETS = 256


def other(colour: str) -> str:
    """The other colour; green for none, because blue is where the first release goes."""
    return "blue" if colour != "blue" else "green"


def image(text: str) -> str:
    """`text`, when it is NAME@sha256:DIGEST.

    Raises:
        Problem: rollout.R001.
    """
    if len(text) > 500 or not _IMAGE.match(text):
        raise NOT_A_DIGEST(image=text[:200])
    return text


def is_release(text: str) -> bool:
    """Whether it is a release's name."""
    return bool(_RELEASE.match(text))


def release(text: str) -> str:
    """`text`, when it is a release's name.

    Raises:
        Problem: rollout.R002.
    """
    if not is_release(text):
        raise NOT_USABLE(
            what="The release",
            value=text[:200],
            reason="only letters, digits, '.', '_' and '-', 100 at most",
            hint="--release $(git rev-parse HEAD)",
        )
    return text


def host_name(text: str) -> str:
    """`text`, when it is the name of a host.

    Raises:
        Problem: rollout.R002.
    """
    if not _HOST_NAME.match(text):
        raise NOT_USABLE(
            what="PUBLIC_HOST",
            value=text[:200],
            reason="it is not a host's name",
            hint="PUBLIC_HOST=optifit.example",
        )
    return text


def service(text: str) -> str:
    """`text`, when it is the name of a project or service of Compose.

    Raises:
        Problem: rollout.R002.
    """
    if not _NAME.match(text):
        raise NOT_USABLE(
            what="The name", value=text[:200], reason="Compose has only a-z, 0-9, '_' and '-'", hint="optifit"
        )
    return text


def buckets(text: str) -> int:
    """How many of 256 buckets `5%` is: at least 1, at most half of them.

    Raises:
        Problem: rollout.R002.
    """
    match = _SHARE.match(text)
    share = float(match.group(1)) if match else 0.0
    if not 0 < share <= 50:
        raise NOT_USABLE(
            what="The share",
            value=text[:20],
            reason="it is not a percentage above 0 and up to 50",
            hint="--canary 5%",
        )
    return max(1, round(share * BUCKETS / 100))


def seconds(text: str) -> int:
    """The seconds of `90s`, `10m` or `2h`.

    Raises:
        Problem: rollout.R002.
    """
    match = _DURATION.match(text)
    value = int(match.group(1)) * _UNITS[match.group(2)] if match else 0
    if not 0 < value <= 86400:
        raise NOT_USABLE(what="The time", value=text[:20], reason="it is not up to a day", hint="--for 10m")
    return value
