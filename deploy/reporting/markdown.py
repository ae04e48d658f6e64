"""Text that Markdown, and the HTML that GitHub makes of it, show as it is."""

from __future__ import annotations

import re
from itertools import groupby

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


# A sentence begins with a word that is followed by another; code and commands don't: `python manage.py`,
# `CREATE INDEX`, `AddField('order')`, `Order = …`.
_SENTENCE = re.compile(r"(?:[A-Z][a-z]*) (?![=(])\S")


def sentences_and_code(text: str) -> list[str]:
    """The lines of `text` for Markdown: sentences as they are, what is to be typed or pasted in fences."""
    lines: list[str] = []
    for is_sentence, run in groupby(
        text.strip("\n").split("\n"), key=lambda line: bool(_SENTENCE.match(line))
    ):
        said = list(run)
        if lines:
            lines.append("")
        block = "\n".join(said).strip("\n")
        lines += [inline(line) for line in said] if is_sentence else fenced(block, _language(block))
    return lines


def _language(code_: str) -> str:
    return "python" if "\n" in code_ and "manage.py" not in code_ else ""
