"""Text that Markdown, and the HTML that GitHub makes of it, show as it is."""

from __future__ import annotations

import re

from .output import printable


def inline(text: str) -> str:
    """`text` on one line, with nothing in it that Markdown or HTML would take for a mark."""
    text = printable(text).replace("\n", " ")
    return re.sub(r"([\\`*_{}\[\]<>|#~@])", r"\\\1", text)


def code(text: str) -> str:
    """`text` as it may stand between backticks, also in a table."""
    return printable(text).replace("`", "'").replace("\n", " ").replace("|", "\\|")


def fenced(text: str, language: str = "") -> list[str]:
    """The lines of a code block that `text` cannot end."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [f"{fence}{language}", printable(text).strip("\n"), fence]
