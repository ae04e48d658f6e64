"""The text of a configuration file without its secrets: YAML, JSON, .ini, Dockerfiles, Caddy, nginx, Redis.

No parser of one of them: a line says a name and a value in few ways, and what a hidden name leads on to (a
block, a mapping, the rest of a quoted value) is hidden whole. Where it is in doubt, the value is hidden.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .concealment import MASK, Concealment

# NAME: value and NAME=value at the beginning of a line: YAML, .ini, Dockerfiles, lists of a compose file.
_ASSIGNMENT = re.compile(
    r"^(?P<before>\s*(?:-\s+)?[\"']?(?:(?:export|ENV|ARG|SET)\s+)?)(?P<name>[\w.-]+)"
    r"(?P<between>[\"']?\s*(?:=|:\s|:\Z)\s*)(?P<value>\S.*?)?(?P<after>[\"']?,?\s*)$"
)
# NAME value: Caddy, nginx (also `set $name value;`, headers, parameters), Redis, Apache, Dockerfiles.
_DIRECTIVE = re.compile(
    r"^(?P<before>\s*(?:(?:header|header_up|header_down|request_header|proxy_set_header|add_header|setenv"
    r"|(?:fastcgi|uwsgi|scgi)_param|export|ENV|ARG|set)\s+)?\$?)"
    r"(?P<name>[\w.+>-]+)(?P<between>\s+)(?P<value>\S.*?)(?P<after>;?\s*)$",
    re.IGNORECASE,
)
# Further in: `user joe insecure-password …`, `stats auth …`.
_FURTHER_IN = re.compile(
    r"^(?P<before>\s*(?:[^\s#:=]+[ \t]+){1,4}?)"
    r"(?P<name>[\w-]{0,40}(?:password|passwd|secret|token|_key|auth))"
    r"(?P<between>[ \t]+)(?P<value>\S.*?)(?P<after>;?\s*)$",
    re.IGNORECASE,
)
# Caddy's `dns PROVIDER credentials`; Redis' `user NAME on >password #hash`,
# `sentinel auth-pass NAME password`.
_OF_A_KIND = re.compile(
    r"^(\s*(?:(?:acme_)?dns\s+[\w.-]+|sentinel\s+auth-pass\s+\S+|user\s+\S+(?=\s.*\s[>#<!]))\s+)(?!\{\s*$)\S.*$",
    re.IGNORECASE,
)
# An option whose value comes on the next line.
_OPTION = re.compile(
    r"(?:^|[\s\"'])--?[\w-]{0,64}(?:pass|token|secret|key|auth)[\w-]{0,64}[\"']?,?\s*\\?\s*$", re.IGNORECASE
)
_PAIR_NAME = re.compile(
    r"^(\s*(?:-\s+)?)[\"']?(?:name|key|header)[\"']?\s*[:=]\s*[\"']?([\w-]+)", re.IGNORECASE
)
_PAIR_VALUE = re.compile(r"^(\s*[\"']?value[\"']?\s*[:=]\s*)(\S.*?)(,?\s*)$", re.IGNORECASE)

_REFERENCE = re.compile(
    r"[\"']?(\$\{?\w+(:?\?[^}]*|:?-)?\}?|\{\$\w+\}|\{env\.\w+\}|\$\w+|/run/secrets/\S+|true|false|null|~|\{\{.*\}\})[\"']?\Z",
    re.IGNORECASE,
)
_ITEM = re.compile(r"^(\s*)-\s+(.*)$")
# Below these (of a compose file, of Traefik), a name is a thing's: a service `api` is no secret.
_NAMES_BELOW = frozenset({"services", "networks", "volumes", "configs", "secrets", "routers", "middlewares"})
# nginx passes requests on; Caddy asks another service who somebody is.
_NO_SECRET = re.compile(
    r"(proxy|fastcgi|uwsgi|scgi|grpc|memcached)_(pass|pass_\w+|cache_key)\Z|forward_auth\Z"
)
_LISTED = frozenset({"file", "environment", "external", "name", "driver", "labels", "template_driver"})


def hidden_lines(text: str, conceal: Concealment) -> Iterator[str]:
    """Its lines with the values of secret names masked; references such as `${NAME}` stay."""
    reader = _Reader(conceal)
    for line in text.splitlines(keepends=True):
        bare = line.rstrip("\r\n")
        yield reader.line(bare) + line[len(bare) :]


class _Reader:
    """Goes from line to line and knows what it is still inside of."""

    def __init__(self, conceal: Concealment) -> None:
        self._conceal = conceal
        self._below: int | None = None  # deeper lines than this column belong to a hidden name
        self._brackets = 0  # of a hidden name's { or [, still open
        self._quote = ""  # of a hidden value that goes on
        self._option = False
        self._pair: int | None = None  # the column of `name: HIDDEN`
        self._parents: list[tuple[int, str]] = []

    def line(self, bare: str) -> str:
        """The line as it may be kept."""
        if self._goes_on(bare):
            return _masked(bare) if bare.strip() else bare
        if not bare.strip():
            return bare
        column = len(bare) - len(bare.lstrip())
        if self._below is not None:
            item = _ITEM.match(bare)
            if column > self._below or (item and column == self._below):
                return bare if item and _REFERENCE.match(item[2]) else _masked(bare)
            self._below = None
        follows, self._option = self._option, bool(_OPTION.search(bare))
        if follows:
            item = _ITEM.match(bare)
            return f"{item[1]}- {MASK}" if item else _masked(bare)
        return self._value_of_pair(bare) or self._plain(bare)

    def _goes_on(self, bare: str) -> bool:
        """Whether the line belongs to an open quote or bracket."""
        if self._quote:
            if _closes(bare, self._quote):
                self._quote = ""
            return True
        if self._brackets > 0:
            self._brackets += _opened(bare)
            return self._brackets > 0 or bool(bare.strip(" \t}]);,"))
        return False

    def _value_of_pair(self, bare: str) -> str:
        named, value = _PAIR_NAME.match(bare), _PAIR_VALUE.match(bare)
        if named:
            self._pair = len(named[1]) if self._conceal.hides(named[2], "?") else None
        elif self._pair is not None and value and len(bare) - len(bare.lstrip()) == self._pair:
            self._pair = None
            if not _REFERENCE.match(value[2]):
                self._enter(len(value[1]) - len(value[1].lstrip()), value[2])
                return f"{value[1]}{MASK}{value[3]}"
        return ""

    def _plain(self, bare: str) -> str:
        if kind := _OF_A_KIND.match(bare):
            return bare if _REFERENCE.match(bare[len(kind[1]) :].rstrip("; ")) else f"{kind[1]}{MASK}"
        found = _ASSIGNMENT.match(bare)
        if found:
            column = len(found["before"].rstrip("\"'"))
            value = "" if (found["value"] or "").startswith("#") else found["value"] or ""
            parent = self._parent(column, found["name"])
            if not self._is_hidden(found["name"], value, parent):
                return bare
            if not value:
                self._below = column if found["between"].strip().endswith(":") else None
                return bare
        else:
            found = self._directive(bare)
            if found is None:
                return bare
            column, value = len(bare) - len(bare.lstrip()), found["value"]
            if value.endswith("{"):
                self._brackets = _opened(value)
                return f"{found['before']}{found['name']}{found['between']}{MASK} {{"
        if _REFERENCE.match(value):
            return bare
        self._enter(column, value)
        return f"{found['before']}{found['name']}{found['between']}{MASK}{found['after']}"

    def _directive(self, bare: str) -> re.Match[str] | None:
        found = _DIRECTIVE.match(bare)
        if found and found["value"].endswith("{") and "." in found["name"]:
            return None  # the address of a site
        for match in (found, _FURTHER_IN.match(bare)):
            if (
                match
                and not _NO_SECRET.match(match["name"])
                and self._conceal.hides(match["name"], match["value"])
            ):
                return match
        return None

    def _parent(self, column: int, name: str) -> str:
        """The name that this one stands below, in YAML."""
        while self._parents and self._parents[-1][0] >= column:
            self._parents.pop()
        parent = self._parents[-1][1] if self._parents else ""
        self._parents.append((column, name.lower()))
        return parent

    def _is_hidden(self, name: str, value: str, parent: str) -> bool:
        if not value and (parent in _NAMES_BELOW or name.lower() in _NAMES_BELOW):
            return False
        if parent == "secrets" and name.lower() not in _LISTED:
            return True
        return self._conceal.hides(name, value or "?")

    def _enter(self, column: int, value: str) -> None:
        """Remember what of the value is still to come."""
        self._below = column
        self._brackets = max(_opened(value), 0) if value[:1] in ("{", "[") else 0
        self._quote = value[0] if value[:1] in ("'", '"') and not _closes(value[1:], value[0]) else ""


def _masked(bare: str) -> str:
    return bare[: len(bare) - len(bare.lstrip())] + MASK


def _closes(text: str, quote: str) -> bool:
    return quote in re.sub(r"\\." if quote == '"' else r"\\.|''", "", text)


def _opened(text: str) -> int:
    return sum(text.count(mark) for mark in "{[") - sum(text.count(mark) for mark in "}]")
