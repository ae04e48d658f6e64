"""SQL text cut into tokens and statements: comments gone, strings and quoted names whole.

Enough of PostgreSQL's lexical structure (https://www.postgresql.org/docs/current/sql-syntax-lexical.html)
to recognise what a DDL statement does; it judges no syntax.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_TOKEN = re.compile(
    r"""
      (?P<space>\s+|--[^\n]*)
    | (?P<comment>/\*)
    | (?P<dollar>\$(?P<tag>[A-Za-z_]\w*|)\$)
    | (?P<estring>[eE]'(?:[^'\\]|''|\\.)*')
    | (?P<string>(?:[bBxXnN]|[uU]&)?'(?:[^']|'')*')
    | (?P<name>"(?:[^"]|"")*")
    | (?P<number>\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)
    | (?P<word>[^\W\d][\w$]*)
    | (?P<sign>::|.)
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """`kind` is word, name (quoted), string, number or sign; `text` is what it means.

    A word's text is lower case (PostgreSQL folds it), a quoted name's is unquoted.
    """

    kind: str
    text: str

    def is_word(self, *words: str) -> bool:
        return self.kind == "word" and self.text in words

    def is_sign(self, sign: str) -> bool:
        return self.kind == "sign" and self.text == sign

    @property
    def is_identifier(self) -> bool:
        return self.kind in {"word", "name"}


def tokenize(sql: str) -> list[Token]:
    """The tokens of `sql`, without white space and comments (nested ones too)."""
    tokens: list[Token] = []
    position = 0
    while position < len(sql):
        match = _TOKEN.match(sql, position)
        if match is None:  # the pattern ends in "any character": unreachable, but never loop forever
            break
        position = match.end()
        kind = str(match.lastgroup if match.lastgroup != "tag" else "dollar")
        text = match.group()
        if kind == "comment":
            position = _comment_end(sql, match.start())
        elif kind == "dollar":
            end = sql.find(text, position)
            end = len(sql) if end < 0 else end
            tokens.append(Token("string", sql[position:end]))
            position = end + len(text)
        elif kind in {"string", "estring"}:
            tokens.append(Token("string", text))
        elif kind == "name":
            tokens.append(Token("name", text[1:-1].replace('""', '"')))
        elif kind == "word":
            tokens.append(Token("word", text.lower()))
        elif kind in {"number", "sign"}:
            tokens.append(Token(kind, text))
    return tokens


def split(tokens: list[Token]) -> list[list[Token]]:
    """The statements of a script: cut at every semicolon outside of parentheses."""
    statements: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        depth += token.is_sign("(") - token.is_sign(")")
        if token.is_sign(";") and depth <= 0:
            statements.append([])
            depth = 0
        else:
            statements[-1].append(token)
    return [statement for statement in statements if statement]


def split_list(tokens: list[Token]) -> list[list[Token]]:
    """The parts between commas outside of parentheses and brackets."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens:
        if token.kind == "sign":
            depth += token.text in "([" and 1
            depth -= token.text in ")]" and 1
        if token.is_sign(",") and depth == 0:
            parts.append([])
        else:
            parts[-1].append(token)
    return [part for part in parts if part]


def parenthesised(tokens: list[Token], start: int) -> tuple[list[Token], int]:
    """What is inside the parentheses that open at `start`, and the index after they close."""
    depth = 0
    for index in range(start, len(tokens)):
        depth += tokens[index].is_sign("(") - tokens[index].is_sign(")")
        if depth == 0:
            return tokens[start + 1 : index], index + 1
    return tokens[start + 1 :], len(tokens)


def _comment_end(sql: str, start: int) -> int:
    depth, position = 0, start
    while position < len(sql):
        if sql.startswith("/*", position):
            depth, position = depth + 1, position + 2
        elif sql.startswith("*/", position):
            depth, position = depth - 1, position + 2
            if depth == 0:
                return position
        else:
            position += 1
    return len(sql)
