"""What SQL statements do to a schema, as data: the ground of every rule and of the compatibility check.

Recognises Django's own DDL and the statements that people write into RunSQL; what it does not know is an
effect of kind `other`. Table names lose their schema: a project's tables are told apart by name.
"""

from __future__ import annotations

import re
from dataclasses import replace

from .effect import Effect
from .reader import Reader
from .tokens import Token, parenthesised, split, split_list, tokenize


def effects(sql: str) -> list[Effect]:
    """Every effect of a script, in order."""
    found: list[Effect] = []
    for statement in split(tokenize(sql)):
        found += _Statement(statement).read()
    return found


class _Statement(Reader):
    """Reads one whole statement."""

    def read(self) -> list[Effect]:
        first = self.peek()
        if not first.is_identifier:
            return []
        reader = {
            "alter": self._alter, "create": self._create, "drop": self._drop, "update": self._update,
            "delete": self._delete, "truncate": self._truncate, "lock": self._lock, "vacuum": self._vacuum,
            "cluster": self._cluster, "reindex": self._reindex, "refresh": self._refresh, "with": self._with,
            "comment": list, "set": self._setting, "reset": self._setting, "discard": self._setting,
            "select": self._select, "insert": list, "analyze": list, "grant": list, "show": list,
            "do": self._do,
        }.get(first.text)  # fmt: skip
        if reader is not None:
            return list(reader())
        if first.is_word("begin", "commit", "rollback", "start", "end", "abort"):
            if self.peek(1).is_word("to") or self.peek(2).is_word("to"):
                return []  # ROLLBACK TO SAVEPOINT leaves the transaction alone
            return [Effect("transaction", verb=first.text.upper())]
        return [Effect("opaque", verb=first.text.upper())]

    def _setting(self) -> list[Effect]:
        """SET, RESET and DISCARD: of all settings, only the limit on waiting for locks matters."""
        words = [token.text.strip("'\"") for token in self.tokens]
        ends = words[0] in {"reset", "discard"} or words[-1] == "default" or _is_zero(words[-1])
        if ends and ("lock_timeout" in words or words[-1] == "all"):
            return [Effect("no_limit", verb=" ".join(words).upper())]
        return []

    def _select(self) -> list[Effect]:
        words = [token.text.strip("'") for token in self.tokens]
        if "set_config" in words and "lock_timeout" in words:
            value = words[words.index("lock_timeout") + 2 :][:1]
            if value and _is_zero(value[0]):
                return [Effect("no_limit", verb="set_config of lock_timeout to 0")]
        return []

    def _do(self) -> list[Effect]:
        """The statements in the block, as if each of them ran; what it builds as text is not known."""
        body = next((token.text for token in self.tokens if token.kind == "string"), "")
        found: list[Effect] = []
        statement: list[Token] = []
        for token in [*tokenize(body), Token("sign", ";")]:
            if token.is_sign(";") or token.is_word("begin", "then", "else", "loop"):
                found += _Statement(statement).read() if statement and not _is_plpgsql(statement[0]) else []
                if statement and statement[0].is_word("execute", "perform", "call"):
                    found.append(Effect("opaque", verb=f"{statement[0].text.upper()} in a DO block"))
                statement = []
            else:
                statement.append(token)
        return found

    def _with(self) -> list[Effect]:
        for index, token in enumerate(self.tokens):
            if token.is_word("update", "delete") and not self.tokens[index - 1].is_word("for", "on"):
                nested = _Statement(self.tokens[index:]).read()
                return [replace(effect, batched=True) for effect in nested] if self._has("limit") else nested
        return []

    def _has(self, *words: str) -> bool:
        return any(token.is_word(*words) for token in self.tokens)

    def _update(self) -> list[Effect]:
        self.at = 1
        self.accept("only")
        table = self.identifier()
        return [Effect("update", table, batched=self._has("limit", "between"), verb="UPDATE")]

    def _delete(self) -> list[Effect]:
        self.at = 1
        self.skip_optional("from", "only")
        table = self.identifier()
        return [Effect("delete", table, batched=self._has("limit", "between"), verb="DELETE")]

    def _truncate(self) -> list[Effect]:
        self.at = 1
        self.skip_optional("table", "only")
        table = self.identifier()
        return [Effect("truncate", table, verb=f"TRUNCATE {table}")]

    def _lock(self) -> list[Effect]:
        self.at = 1
        self.skip_optional("table", "only")
        table = self.identifier()
        words = [token.text for token in self.rest() if token.kind == "word"]
        mode = " ".join(words[words.index("in") + 1 : -1]).upper() if "in" in words else "ACCESS EXCLUSIVE"
        return [Effect("lock", table, new=mode.removesuffix(" MODE"), verb="LOCK TABLE")]

    def _vacuum(self) -> list[Effect]:
        if not self._has("full"):
            return [Effect("other", verb="VACUUM")]
        names = [
            t.text
            for t in self.tokens[1:]
            if t.is_identifier and t.text not in {"full", "analyze", "verbose"}
        ]
        return [Effect("vacuum_full", names[-1] if names else "every table", verb="VACUUM FULL")]

    def _cluster(self) -> list[Effect]:
        self.at = 1
        self.accept("verbose")
        return [Effect("cluster", self.identifier() or "every table", verb="CLUSTER")]

    def _reindex(self) -> list[Effect]:
        concurrently = self._has("concurrently")
        names = [t.text for t in self.tokens if t.is_identifier]
        return [Effect("reindex", names[-1], concurrently=concurrently, verb="REINDEX")]

    def _refresh(self) -> list[Effect]:
        concurrently = self._has("concurrently")
        return (
            []
            if concurrently
            else [Effect("reindex", self.tokens[-1].text, verb="REFRESH MATERIALIZED VIEW")]
        )

    def _drop(self) -> list[Effect]:
        self.at = 1
        kind = " ".join(
            t.text for t in (self.peek(), self.peek(1)) if t.is_word("materialized", "view", "foreign")
        )
        kind = kind or self.peek().text
        self.at += len(kind.split())
        concurrently = self.accept("concurrently")
        self.accept("if", "exists")
        names = []
        for part in split_list(self.rest()):
            reader = _Statement(part)
            names.append(reader.identifier())
        names = [name for name in names if name]
        if kind in {"table", "foreign"}:
            return [Effect("drop_table", name, verb="DROP TABLE") for name in names]
        if kind == "index":
            return [Effect("drop_index", name=n, concurrently=concurrently, verb="DROP INDEX") for n in names]
        if kind in {"database", "schema"}:
            return [Effect("truncate", name, verb=f"DROP {kind.upper()} {name}") for name in names]
        if kind in {
            "view",
            "materialized view",
            "function",
            "procedure",
            "type",
            "domain",
            "sequence",
            "extension",
        }:
            return [Effect("gone", name=name, verb=f"DROP {kind.upper()} {name}") for name in names]
        return [Effect("other", verb=f"DROP {kind.upper()}")]

    def _create(self) -> list[Effect]:
        self.at = 1
        unique = self.accept("unique")
        if self.accept("index"):
            return self._create_index(unique=unique)
        replaced = self.accept("or", "replace")
        self.skip_optional("global", "local", "temporary", "temp", "unlogged", "constraint")
        if self.accept("table"):
            return self._create_table()
        kind = self.peek().text
        # These change what the statements of a release do, or whether they pass.
        acts = kind in {"trigger", "rule", "policy"} or (
            replaced and kind in {"view", "function", "procedure"}
        )
        return [Effect("opaque" if acts else "other", verb=f"CREATE {kind.upper()}")]

    def _create_index(self, *, unique: bool) -> list[Effect]:
        concurrently = self.accept("concurrently")
        self.accept("if", "not", "exists")
        name = "" if self.peek().is_word("on") else self.identifier()
        self.skip_optional("on", "only")
        table = self.identifier()
        mentions = self.mentioned_in_expressions()
        start = self.at
        columns = self.names_in_parentheses()
        definition = self.beyond_columns(start, expressions=bool(mentions))
        return [
            Effect(
                "create_index", table, name=name, new=definition, columns=columns, mentions=mentions,
                unique=unique, concurrently=concurrently, verb="CREATE INDEX",
            )
        ]  # fmt: skip

    def _create_table(self) -> list[Effect]:
        self.accept("if", "not", "exists")
        table = self.identifier()
        added: list[Effect] = []
        if self.peek().is_sign("("):
            inside, self.at = parenthesised(self.tokens, self.at)
            for part in split_list(inside):
                is_column = not part[0].is_word(
                    "constraint", "primary", "unique", "check", "foreign", "exclude", "like"
                )
                added += _Statement(part).column(table)[:1] if is_column else []
        return [Effect("create_table", table, added=tuple(added), verb="CREATE TABLE")]

    def _alter(self) -> list[Effect]:
        from .alter import read_alter

        self.at = 1
        return read_alter(self)


def _is_zero(value: str) -> bool:
    return bool(re.fullmatch(r"[+-]?0+(\.0*)?\s*(us|ms|s|min|h|d)?", value.strip()))


def _is_plpgsql(first: Token) -> bool:
    """A statement of the block's own language, or a piece of one; none of them changes a schema by itself."""
    return first.is_word(
        "declare", "if", "elsif", "end", "raise", "return", "execute", "perform", "call", "for", "foreach",
        "while", "exit", "continue", "case", "when", "exception", "get", "null", "assert", "open", "fetch",
        "close", "commit", "rollback",
    )  # fmt: skip
