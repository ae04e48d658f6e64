"""Typed values out of environment variables, with a mistake for each that is missing or wrong.

A mistake says which variable it is about, what it got (never the value of a secret) and what it wants.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from deploy.reporting.findings import Finding


@dataclass(frozen=True, slots=True)
class Mistake:
    """One wrong or missing variable: a stable id, the fact, and what to set."""

    id: str
    variable: str
    message: str
    hint: str


class EnvironmentMistakes(ImproperlyConfigured):
    """The environment cannot be used; `mistakes` has every reason, the text has one per paragraph."""

    def __init__(self, mistakes: Iterable[Mistake]) -> None:
        self.mistakes = tuple(mistakes)
        super().__init__(
            "\n".join(
                f"{mistake.id} {mistake.message}\n    hint: {mistake.hint}" for mistake in self.mistakes
            )
        )


class TypedVariables:
    """Takes typed values out of a mapping of variables and collects a mistake for each unusable one.

    An empty variable counts as not set. After a mistake the default stands in, so that reading goes on
    and `finish` can name all of them.

    Args:
        variables: the environment.
        unresolved: a finding by variable for each that refers to a secret that could not be read (see
            `deploy.secret_references`); it is the mistake, and nothing more is said of the variable.
    """

    def __init__(self, variables: Mapping[str, str], unresolved: Mapping[str, Finding] | None = None) -> None:
        self._unresolved = unresolved or {}
        self._variables = {name: text for name, text in variables.items() if name not in self._unresolved}
        self.read: set[str] = set()
        self.mistakes = [
            Mistake(finding.id, name, finding.message, finding.hint)
            for name, finding in self._unresolved.items()
        ]

    def finish(self) -> None:
        """Raises EnvironmentMistakes if any variable was missing or wrong."""
        if self.mistakes:
            raise EnvironmentMistakes(self.mistakes)

    def missing(self, name: str, why: str, hint: str) -> None:
        """Record that `name` has to be set."""
        if name in self._unresolved:
            return
        self.mistakes.append(Mistake("optifit.E001", name, f"{name} is not set: {why}.", hint))

    def wrong(self, name: str, got: str | None, wants: str, hint: str) -> None:
        """Record that `name` is unusable; `got` is None where the value is a secret."""
        fact = "has a value that cannot be used" if got is None else f"is {got!r}"
        self.mistakes.append(Mistake("optifit.E002", name, f"{name} {fact}: it must be {wants}.", hint))

    def text(
        self,
        name: str,
        default: str = "",
        *,
        wants: str = "",
        accepts: Callable[[str], bool] = lambda _: True,
        example: str = "",
        secret: bool = False,
    ) -> str:
        """The variable as it is, without blanks around it."""
        self.read.add(name)
        value = self._variables.get(name, "").strip()
        if not value:
            return default
        if not accepts(value):
            self.wrong(name, None if secret else value, wants, f"export {name}={example}")
            return default
        return value

    def flag(self, name: str, *, default: bool = False) -> bool:
        """1/0, true/false, yes/no, on/off. Anything else is a mistake: "flase" must not mean no."""
        words = {"1": True, "true": True, "yes": True, "on": True}
        words |= {"0": False, "false": False, "no": False, "off": False}
        value = self.text(
            name, wants="1 or 0", accepts=lambda text: text.lower() in words, example="1" if default else "0"
        )
        return words[value.lower()] if value else default

    def integer(self, name: str, default: int, *, least: int, most: int) -> int:
        """A whole number from `least` to `most`."""
        value = self.text(
            name,
            wants=f"a whole number from {least} to {most}",
            accepts=lambda text: (
                bool(re.fullmatch(r"\d{1,12}", text, re.ASCII)) and least <= int(text) <= most
            ),
            example=str(default),
        )
        return int(value) if value else default

    def choice(self, name: str, default: str, *, among: Iterable[str]) -> str:
        """One of a few words, in any case; returned as listed."""
        words = {word.lower(): word for word in among}
        value = self.text(
            name,
            wants=f"one of {', '.join(words.values())}",
            accepts=lambda text: text.lower() in words,
            example=default,
        )
        return words[value.lower()] if value else default

    def names(
        self, name: str, *, wants: str, accepts: Callable[[str], bool], example: str, secret: bool = False
    ) -> list[str]:
        """A list separated by commas; blanks and empty parts are dropped."""
        parts = [part.strip() for part in self.text(name).split(",") if part.strip()]
        wrong = [part for part in parts if not accepts(part)]
        for part in wrong:
            self.wrong(name, None if secret else part, wants, f"export {name}={example}")
        return [part for part in parts if part not in wrong]

    def folder(self, name: str, default: Path) -> Path:
        """An absolute path."""
        value = self.text(
            name,
            wants="an absolute path",
            accepts=lambda text: Path(text).is_absolute(),
            example=str(default),
        )
        return Path(value) if value else default
