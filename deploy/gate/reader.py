"""SQL tokens read from left to right: names, lists, and the definition of a column."""

from __future__ import annotations

import re
from itertools import pairwise

from .effect import SERIAL, Effect, normal_type
from .tokens import Token, parenthesised, split_list

_COLUMN_ENDS = (
    "not", "null", "default", "constraint", "check", "unique", "primary",
    "references", "generated", "collate",
    "using", "deferrable", "initially", "storage", "compression",
)  # fmt: skip


class Reader:
    """Reads one statement from left to right."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.at = 0

    # -- moving ----------------------------------------------------------------------------------------
    def peek(self, ahead: int = 0) -> Token:
        index = self.at + ahead
        return self.tokens[index] if index < len(self.tokens) else Token("end", "")

    def accept(self, *words: str) -> bool:
        """Step over these words if they come next, in this order."""
        if all(self.peek(index).is_word(word) for index, word in enumerate(words)):
            self.at += len(words)
            return True
        return False

    def skip_optional(self, *phrases: str) -> None:
        for phrase in phrases:
            self.accept(*phrase.split())

    def identifier(self) -> str:
        """A name, without its schema."""
        name = ""
        while self.peek().is_identifier:
            name = self.peek().text
            self.at += 1
            if not self.peek().is_sign("."):
                break
            self.at += 1
        return name

    def rest(self) -> list[Token]:
        return self.tokens[self.at :]

    def names_in_parentheses(self) -> tuple[str, ...]:
        while self.at < len(self.tokens) and not self.peek().is_sign("("):
            self.at += 1
        inside, self.at = parenthesised(self.tokens, self.at)
        return tuple(
            part[0].text
            for part in split_list(inside)
            if part[0].is_identifier and not (len(part) > 1 and part[1].is_sign("("))
        )

    def mentioned_in_expressions(self) -> tuple[str, ...]:
        """The names in those parts of the next parentheses that are no plain column; moves nothing."""
        start = self.at
        while start < len(self.tokens) and not self.tokens[start].is_sign("("):
            start += 1
        inside, _ = parenthesised(self.tokens, start)
        found: list[str] = []
        for part in split_list(inside):
            if any(token.is_sign("(") for token in part[:2]):
                found += [
                    token.text
                    for token, after in zip(part, [*part[1:], Token("end", "")], strict=True)
                    if token.is_identifier and not after.is_sign("(")
                ]
        return tuple(found)

    def beyond_columns(self, start: int, *, expressions: bool) -> str:
        """The text of an index's expressions and condition; it has been read from `start` to its columns."""
        rest = self.rest()
        where = next((index for index, token in enumerate(rest) if token.is_word("where")), None)
        condition = "" if where is None else f"where {same_text(rest[where + 1 :])}"
        return f"{spelled(self.tokens[start : self.at])} {condition}".strip() if expressions else condition

    def column(self, table: str) -> list[Effect]:
        """A column definition, with the constraints that it carries."""
        name = self.identifier()
        start = self.at
        while self.at < len(self.tokens) and not self.peek().is_word(*_COLUMN_ENDS):
            self.at += 1
        kind = normal_type(spelled(self.tokens[start : self.at]))
        options = self.tokens[self.at :]
        words = [token.text if token.kind == "word" else "" for token in options]
        column = Effect(
            "add_column", table, name,
            new=SERIAL.get(kind, kind),
            not_null=_follows(words, "not", "null") or _follows(words, "primary", "key") or kind in SERIAL,
            default=default_of(options),
            generated=_generated(words),
            identity=kind in SERIAL or "identity" in words,
            verb="ADD COLUMN",
        )  # fmt: skip
        found = [column]
        if "unique" in words or _follows(words, "primary", "key"):
            kind = "add_unique" if "unique" in words else "add_primary_key"
            found.append(Effect(kind, table, name, columns=(name,), verb="UNIQUE"))
        if "references" in words:
            reader = Reader(options)
            reader.at = words.index("references") + 1
            target = reader.identifier()
            # A new column without a default is NULL everywhere: PostgreSQL skips the scan for it.
            found.append(
                Effect("add_fk", table, name, new=target, columns=(name,), valid=column.default is not None)
            )
        if "check" in words:
            condition, _ = parenthesised(options, words.index("check") + 1)
            found.append(
                Effect(
                    "add_check", table, name, new=spelled(condition), columns=(name,),
                    valid=column.default is not None,
                )
            )  # fmt: skip
        return found


def _follows(words: list[str], first: str, second: str) -> bool:
    return any(pair == (first, second) for pair in pairwise(words))


def _generated(words: list[str]) -> str:
    if "generated" not in words or "identity" in words:
        return ""
    return "virtual" if "virtual" in words else "stored"


def default_of(tokens: list[Token]) -> str | None:
    """The SQL text after DEFAULT (not of GENERATED BY DEFAULT)."""
    for index, token in enumerate(tokens):
        if token.is_word("default") and not (index and tokens[index - 1].is_word("by")):
            end = index + 1
            depth = 0
            while end < len(tokens):
                part = tokens[end]
                depth += part.is_sign("(") - part.is_sign(")")
                if depth == 0 and end > index + 1 and part.is_word(*_COLUMN_ENDS):
                    break
                end += 1
            text = spelled(tokens[index + 1 : end])
            return None if text.lower() == "null" else text
    return None


def same_text(tokens: list[Token]) -> str:
    """Tokens as text, without the outermost parentheses."""
    while tokens and tokens[0].is_sign("("):
        inside, end = parenthesised(tokens, 0)
        if end != len(tokens):
            break
        tokens = inside
    return spelled(tokens)


def spelled(tokens: list[Token]) -> str:
    """Tokens as SQL text again, for messages and types."""
    text = " ".join(f'"{t.text}"' if t.kind == "name" else t.text for t in tokens)
    return re.sub(r"\s*([(),.\[\]]|::)\s*", r"\1", text)
