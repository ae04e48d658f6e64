"""What ALTER statements do: the part of `effects` with the most forms."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from .effect import Effect, normal_type
from .reader import Reader, default_of, spelled
from .tokens import parenthesised, split_list

if TYPE_CHECKING:
    from .tokens import Token


def read_alter(reader: Reader) -> list[Effect]:
    """The effects of an ALTER statement whose first word has been read."""
    reader.accept("foreign")
    if reader.accept("table"):
        reader.skip_optional("if exists", "only")
        table = reader.identifier()
        if reader.peek().is_sign("*"):
            reader.at += 1
        return _alter_table(table, reader.rest())
    if reader.accept("type"):
        name = reader.identifier()
        if reader.accept("rename", "value"):
            return [Effect("gone", name=name, verb=f"ALTER TYPE {name} RENAME VALUE {reader.peek().text}")]
        return [Effect("other", verb="ALTER TYPE")]
    if reader.accept("domain"):
        name = reader.identifier()
        return [Effect("lock", f"every table that uses domain {name}", new="SHARE", verb="ALTER DOMAIN")]
    kind = reader.peek().text.upper()
    words = {token.text for token in reader.rest() if token.kind == "word"}
    named = words & {"rename", "schema"} and kind not in {"INDEX", "SEQUENCE", "EXTENSION"}
    return [Effect("opaque" if named else "other", verb=f"ALTER {kind}")]


def _alter_table(table: str, tokens: list[Token]) -> list[Effect]:
    reader = Reader(tokens)
    if reader.accept("rename"):
        if reader.accept("to"):
            return [Effect("rename_table", table, new=reader.identifier(), verb="RENAME TO")]
        if reader.accept("constraint"):
            name = reader.identifier()
            reader.accept("to")
            return [Effect("other", table, name=name, new=reader.identifier(), verb="RENAME CONSTRAINT")]
        reader.accept("column")
        column = reader.identifier()
        reader.accept("to")
        return [Effect("rename_column", table, column, new=reader.identifier(), verb="RENAME COLUMN")]
    if reader.accept("set", "schema"):
        return [Effect("rename_table", table, new=f"{reader.identifier()}.{table}", verb="SET SCHEMA")]
    return [effect for part in split_list(tokens) for effect in _action(table, Reader(part))]


def _action(table: str, reader: Reader) -> list[Effect]:
    if reader.accept("add"):
        return _add(table, reader)
    if reader.accept("drop"):
        return _drop(table, reader)
    if reader.accept("alter"):
        return _alter_column(table, reader)
    if reader.accept("validate", "constraint"):
        return [Effect("validate", table, name=reader.identifier(), verb="VALIDATE CONSTRAINT")]
    if reader.accept("detach", "partition"):
        name = reader.identifier()
        return [
            Effect(
                "detach",
                table,
                name=name,
                concurrently=reader.accept("concurrently"),
                verb="DETACH PARTITION",
            )
        ]
    if reader.accept("cluster"):
        return [Effect("other", table, verb="CLUSTER ON")]
    if reader.accept("set") and reader.peek().is_word("logged", "unlogged", "tablespace", "access"):
        verb = f"SET {reader.peek().text.upper()}"
        return [Effect("cluster", table, verb=f"ALTER TABLE … {verb}")]
    words = [token.text.upper() for token in reader.tokens if token.kind == "word"]
    if {"ROW", "SECURITY"} <= set(words) or words[:1] in (["ENABLE"], ["DISABLE"], ["ATTACH"], ["INHERIT"]):
        return [Effect("opaque", table, verb=f"ALTER TABLE {table} {' '.join(words[:4])}")]
    return [Effect("other", table, verb="ALTER TABLE")]


def _add(table: str, reader: Reader) -> list[Effect]:
    if not reader.peek().is_word("constraint", "primary", "unique", "check", "foreign", "exclude"):
        reader.skip_optional("column", "if not exists")
        return reader.column(table)
    name = reader.identifier() if reader.accept("constraint") else ""
    valid = not _has_pair(reader.tokens, "not", "valid")
    using_index = _has_pair(reader.tokens, "using", "index")
    index = _after_pair(reader.tokens, "using", "index").identifier()
    deferrable = any(token.is_word("deferrable") for token in reader.tokens) and not _has_pair(
        reader.tokens, "not", "deferrable"
    )
    if reader.accept("primary", "key"):
        columns = () if using_index else reader.names_in_parentheses()
        return [
            Effect(
                "add_primary_key", table, name=name, new=index, columns=columns, using_index=using_index,
                deferrable=deferrable,
            )
        ]  # fmt: skip
    if reader.accept("unique"):
        columns = () if using_index else reader.names_in_parentheses()
        return [
            Effect(
                "add_unique", table, name=name, new=index, columns=columns, using_index=using_index,
                deferrable=deferrable,
            )
        ]  # fmt: skip
    if reader.accept("foreign", "key"):
        columns = reader.names_in_parentheses()
        reader.accept("references")
        target = reader.identifier()
        column = columns[0] if columns else ""
        return [Effect("add_fk", table, column, name, new=target, columns=columns, valid=valid)]
    if reader.accept("exclude"):
        mentions = reader.mentioned_in_expressions()
        columns = reader.names_in_parentheses()
        return [Effect("add_exclude", table, name=name, columns=columns, mentions=mentions)]
    if reader.accept("not", "null"):
        return [Effect("add_not_null", table, reader.identifier(), name, valid=valid)]
    if not reader.accept("check"):
        return [Effect("other", table, name=name)]
    inside, _ = parenthesised(reader.tokens, reader.at)
    noise = {"and", "or", "not", "is", "null", "in", "between", "like", "true", "false"}
    mentioned = tuple(token.text for token in inside if token.is_identifier and token.text not in noise)
    return [Effect("add_check", table, name=name, new=spelled(inside), columns=mentioned, valid=valid)]


def _drop(table: str, reader: Reader) -> list[Effect]:
    if reader.accept("constraint"):
        reader.accept("if", "exists")
        return [Effect("drop_constraint", table, name=reader.identifier(), verb="DROP CONSTRAINT")]
    reader.skip_optional("column", "if exists")
    return [Effect("drop_column", table, reader.identifier(), verb="DROP COLUMN")]


def _alter_column(table: str, reader: Reader) -> list[Effect]:
    if reader.accept("constraint"):
        return [Effect("other", table, name=reader.identifier(), verb="ALTER CONSTRAINT")]
    reader.accept("column")
    column = reader.identifier()
    if reader.accept("set", "not", "null"):
        return [Effect("set_not_null", table, column, verb="SET NOT NULL")]
    if reader.accept("drop", "not", "null"):
        return [Effect("drop_not_null", table, column, verb="DROP NOT NULL")]
    if reader.accept("drop", "default"):
        return [Effect("drop_default", table, column, verb="DROP DEFAULT")]
    if reader.peek().is_word("set") and reader.peek(1).is_word("default"):
        return [Effect("set_default", table, column, default=default_of(reader.rest()), verb="SET DEFAULT")]
    if reader.accept("drop", "identity"):
        return [Effect("drop_default", table, column, verb="DROP IDENTITY")]
    if reader.accept("add", "generated"):
        return [Effect("set_default", table, column, default="identity", identity=True, verb="ADD IDENTITY")]
    if reader.accept("set", "generated") or reader.accept("drop", "expression"):
        verb = "SET GENERATED" if "generated" in {t.text for t in reader.tokens} else "DROP EXPRESSION"
        return [Effect("opaque", table, column, verb=f"ALTER COLUMN {column} {verb}")]
    reader.accept("set", "data")
    if reader.accept("type"):
        kind = []
        for token in reader.rest():
            if token.is_word("using", "collate"):
                break
            kind.append(token)
        return [Effect("set_type", table, column, new=normal_type(spelled(kind)), verb="ALTER COLUMN … TYPE")]
    return [Effect("other", table, column, verb="ALTER COLUMN")]


def _has_pair(tokens: list[Token], first: str, second: str) -> bool:
    return any(a.is_word(first) and b.is_word(second) for a, b in pairwise(tokens))


def _after_pair(tokens: list[Token], first: str, second: str) -> Reader:
    for index, (a, b) in enumerate(pairwise(tokens)):
        if a.is_word(first) and b.is_word(second):
            return Reader(tokens[index + 2 :])
    return Reader([])
