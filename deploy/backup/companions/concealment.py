"""Which values of a configuration are secrets, and texts without them.

A secret is known by the name it stands under (what Django's error pages hide, and some more), by its place in
an address, by its shape (private keys, tokens of known services), or by its value: one that is a secret in
one place is hidden in every other. What is none of these cannot be told from an ordinary value.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sized
from urllib.parse import quote, unquote

from deploy.reporting.redaction import redact

MASK = "[redacted]"
NOT_RECORDED = "not recorded"

# Shorter values would blank out ordinary words; where they stand under their own name they are hidden anyway.
_SHORTEST = 6
_ALSO_HIDDEN = r"CREDENTIAL|DSN|PRIVATE|WEBHOOK|SALT|CONNECTION_STRING|_PW\b|_SK\b|SIGNING|ENCRYPTION"
# Their names look like secrets', their values are names of classes, cookies, fields or functions.
_NAMES_OF_THINGS = frozenset(
    {
        "API_VERSION",
        "AUTHENTICATION_BACKENDS",
        "AUTH_PASSWORD_VALIDATORS",
        "AUTH_USER_MODEL",
        "DEFAULT_AUTHENTICATION_CLASSES",
        "KEY_FUNCTION",
        "KEY_PREFIX",
        "OPENAPI",
        "OPENAPI_CALLABLE",
        "PASSWORD_HASHERS",
        "SECRET_VERSIONS",
        "SIGNING_BACKEND",
    }
)
_MEASURE = re.compile(r"(SECONDS|TIMEOUT|AGE|LENGTH|LIFETIME|DAYS|COUNT|SIZE|LIMIT|BYTES)\Z", re.IGNORECASE)

_WORDS = (
    r"passw(?:or)?d|passphrase|pwd|secret|token|api[_-]?key|access[_-]?key|private[_-]?key"
    r"|credential|signature"
)
# In quotes, where a backslash keeps what follows it (libpq, JSON), without them, or after a quote left open.
_VALUE = (
    r"(?!\[redacted\])"
    r"(\[[^\]\n]{0,2000}\]|\"(?:\\.|[^\"\\])*\"|'(?:\\.|[^'\\])*'|\"[^\"]*\"|'[^']*'"
    r"|(?!\$)(?:\\.|[^&\s\"';,}\]\\])+|[\"'][^\n]*)"
)
# Every repetition has an end, or nothing after it: a long line must not be read from each of its characters.
_IN_TEXT: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, flags), replacement)
    for pattern, flags, replacement in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL, MASK),
        # scheme://user:password@host, and for http also scheme://token@host
        (r"(\b[a-z][a-z0-9+.-]{0,20}://[^\s:@/\"']{0,200}):[^\s\"']{0,2000}@", re.IGNORECASE, rf"\1:{MASK}@"),
        (r"(\bhttps?://)[^\s/@:\"']{1,2000}@", re.IGNORECASE, rf"\1{MASK}@"),
        # name=value and "name": "value", in addresses, libpq's strings and JSON
        (
            rf"((?:{_WORDS})[\w.-]{{0,64}}"
            rf"(?:[\"']?[ \t]{{0,20}}(?:=|:[ \t])[ \t]{{0,20}}|[\"']:\s{{0,20}})){_VALUE}",
            re.IGNORECASE,
            rf"\1{MASK}",
        ),
        (r"([?&](?:sig|key|code|auth)=)[^&\s\"']+", re.IGNORECASE, rf"\1{MASK}"),
        # --requirepass value, "--token", "value"
        (
            r"(--[\w-]{0,64}(?:pass|token|secret|api-key)[\w-]{0,64}(?:=|\s{1,20}|[\"'],\s*[\"']))[^\s\"',\]$]+",
            re.IGNORECASE,
            rf"\1{MASK}",
        ),
        # {"name": "Authorization", "value": "…"}
        (
            rf"([\"'](?:name|key|header)[\"']:\s{{0,20}}[\"'][\w-]{{0,64}}(?:{_WORDS}|auth)[\w-]{{0,64}}[\"'],\s{{0,20}}"
            rf"[\"']value[\"']:\s{{0,20}}){_VALUE}",
            re.IGNORECASE,
            rf"\1{MASK}",
        ),
        # mysql -pPASSWORD, redis-cli -a PASSWORD, curl -u USER:PASSWORD
        (r"(\b(?:mysql|mariadb)\w{0,20}\b[^\n]{0,200}?[\s\"']-p)[^\s\"',]+", re.IGNORECASE, rf"\1{MASK}"),
        (r"(\bredis-cli\b[^\n]{0,200}?[\s\"']-a[\s\"',]{1,20})[^\s\"',]+", re.IGNORECASE, rf"\1{MASK}"),
        (
            r"(\bcurl\b[^\n]{0,200}?\s(?:-u|--user)\s{0,20}[\"']?[^\s:]{0,200}:)[^\s\"']+",
            re.IGNORECASE,
            rf"\1{MASK}",
        ),
        (r"\b(Basic|Bearer)\s+[A-Za-z0-9+/=._~-]{8,}", re.IGNORECASE, rf"\1 {MASK}"),
        (r"(hooks\.slack\.com/(?:services|workflows)/)[\w/-]+", 0, rf"\1{MASK}"),
        (r"\bAGE-SECRET-KEY-1[0-9A-Z]+", re.IGNORECASE, MASK),
        (r"\$\$?(?:argon2\w{0,2}|scrypt|pbkdf2[\w-]{0,20}|apr1|[156y])\$[^\s\"']+", 0, MASK),
        (r"\bJDJ[aby]JD[A-Za-z0-9+/=]{20,}", 0, MASK),  # bcrypt in base64, as older Caddy had it
        (r"\$\$?2[abxy]\$\$?\d\d\$\$?[./A-Za-z0-9]{53}", 0, MASK),
        (
            r"\b(?:gh[pousr]|github_pat|glpat|sk_live|sk_test|rk_live|xox[abprs])[_-][A-Za-z0-9_-]{8,}",
            0,
            MASK,
        ),
        (r"\b(?:AKIA[0-9A-Z]{16}|AIza[\w-]{30,}|ya29\.[\w.-]+|SG\.[\w-]{16,}\.[\w-]+)", 0, MASK),
        (r"\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]*", 0, MASK),
    )
)
_PASSWORD_IN_ADDRESS = re.compile(
    r"\b[a-z][a-z0-9+.-]{0,20}://[^\s:@/\"']{0,200}:([^\s\"']{1,2000})@", re.IGNORECASE
)


class Concealment:
    """Hides secrets. Tell it all of them first (`learn`), then ask for texts.

    Args:
        hidden: the pattern of names whose values are secrets.
        versions: a secret's version by what has its value (see `BackupConf.secret_versions`).
        variables: the environment; values of variables with such names are secrets.
    """

    def __init__(
        self, hidden: re.Pattern[str], versions: Mapping[str, str], variables: Mapping[str, str]
    ) -> None:
        self._hidden = re.compile(f"{hidden.pattern}|{_ALSO_HIDDEN}", re.IGNORECASE)
        self._versions = versions
        self._versions_by_value = {
            variables[name]: version for name, version in versions.items() if variables.get(name)
        }
        self._versions_named = list(versions.values())
        self._known: set[str] = set()
        for name, value in variables.items():
            if self.hides(name, value):
                self.learn(value)
            self.learn_addresses(value)
        for name in versions:
            self.learn(variables.get(name, ""))

    def hides(self, name: str, value: object) -> bool:
        """What stands under `name` is a secret: not what is no value, a measure, or the name of a thing."""
        if not self._hidden.search(name) or name.upper() in _NAMES_OF_THINGS:
            return False
        if value is None or isinstance(value, bool) or value in self._versions_named:
            return False
        if isinstance(value, Sized) and not len(value):  # that it is empty is worth knowing
            return False
        if name.upper().endswith(("_PATH", "_FILE")) and isinstance(value, str) and "/" in value:
            return False
        return not (_MEASURE.search(name) and not isinstance(value, str | bytes))

    def learn(self, secret: str) -> None:
        """From now on `secret` is hidden wherever it appears, percent-encoded or not."""
        for form in (secret, secret.strip(), quote(secret), quote(secret, safe=""), unquote(secret)):
            if len(form) >= _SHORTEST:
                self._known.add(form)

    def learn_addresses(self, text: str) -> None:
        """The passwords in the addresses in `text`."""
        for password in _PASSWORD_IN_ADDRESS.findall(text):
            self.learn(password)

    def version(self, path: Iterable[str], secrets: Iterable[str]) -> str:
        """The version of the secret at this place of the settings, or `not recorded`."""
        parts = list(path)
        if version := self._versions.get(".".join(parts)):
            return version
        for secret in secrets:
            for value, version in self._versions_by_value.items():
                if value == secret or (len(secret) >= _SHORTEST and secret in value):
                    return version
        return NOT_RECORDED

    def text(self, text: str) -> str:
        """`text` without what is known, or looks like, a secret."""
        text = redact(text)
        for secret in sorted(self._known, key=len, reverse=True):
            if secret in text:
                text = text.replace(secret, MASK)
        for pattern, replacement in _IN_TEXT:
            text = pattern.sub(replacement, text)
        return text
