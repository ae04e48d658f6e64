"""What a reference says."""

from __future__ import annotations

import re
from dataclasses import dataclass

SECRET_MANAGER = "sm://"  # noqa: S105 – where a secret is, not what it is
FILE = "file://"

# https://cloud.google.com/secret-manager/docs/reference/rest/v1/projects.secrets: names, versions, aliases. A
# project goes by its id, also one of a domain (`example.com:shop`), or by its number.
_SECRET = re.compile(
    r"(?:(?P<project>[a-z0-9][a-z0-9.:-]{0,62})/)?(?P<name>[A-Za-z0-9_-]{1,255})"
    r"(?:#(?P<version>[1-9][0-9]{0,8}|[A-Za-z][A-Za-z0-9_-]{0,62}))?\Z"
)


@dataclass(frozen=True, slots=True)
class Reference:
    """A secret of Secret Manager.

    Attributes:
        project: empty for the environment's own.
        version: a number, `latest` or another alias.
    """

    project: str
    name: str
    version: str = "latest"

    @classmethod
    def parse(cls, text: str) -> Reference:
        """The reference after `sm://`.

        Raises:
            ValueError: with the reason, for a sentence.
        """
        found = _SECRET.match(text)
        if found is None:
            raise ValueError("it is not sm://[PROJECT/]NAME[#VERSION]")
        return cls(found["project"] or "", found["name"], found["version"] or "latest")

    def of_project(self, project: str) -> Reference:
        """The same with `project` where it names none."""
        return Reference(self.project or project, self.name, self.version)

    @property
    def resource(self) -> str:
        """The API's name of it."""
        return f"projects/{self.project}/secrets/{self.name}/versions/{self.version}"

    def __str__(self) -> str:
        project = f"{self.project}/" if self.project else ""
        return f"{SECRET_MANAGER}{project}{self.name}#{self.version}"
