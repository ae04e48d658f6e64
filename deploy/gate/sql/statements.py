"""What each kind of statement does, by the name that PostgreSQL's grammar gives it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import definitions, row_statements, session_statements
from .alter_table import alter_table
from .effect import Effect
from .expressions import is_a, name_of

_GONE = {
    "OBJECT_VIEW", "OBJECT_MATVIEW", "OBJECT_FUNCTION", "OBJECT_PROCEDURE", "OBJECT_ROUTINE",
    "OBJECT_AGGREGATE", "OBJECT_TYPE", "OBJECT_DOMAIN", "OBJECT_SEQUENCE", "OBJECT_EXTENSION",
    "OBJECT_OPERATOR", "OBJECT_COLLATION", "OBJECT_CAST",
}  # fmt: skip
_HOLDS_COLUMNS = {"OBJECT_TYPE", "OBJECT_DOMAIN", "OBJECT_EXTENSION"}


def _nothing(_: Any) -> list[Effect]:
    return []


def _other(node: Any) -> list[Effect]:
    return [Effect("other", verb=_words(type(node).__name__.removesuffix("Stmt")))]


def _create_table(node: Any) -> list[Effect]:
    return definitions.table(node)


def _create_table_as(node: Any) -> list[Effect]:
    return [Effect("create_table", node.into.rel.relname, verb="CREATE TABLE AS")]


def _create_index(node: Any) -> list[Effect]:
    return [definitions.index(node)]


def _create_domain(node: Any) -> list[Effect]:
    return [Effect("create_domain", name=name_of(node.domainname), unique=False,
                   valid=bool(node.constraints), verb="CREATE DOMAIN")]  # fmt: skip


def _on_table(verb: str) -> Callable[[Any], list[Effect]]:
    """CREATE TRIGGER, RULE, POLICY: they change what statements on their table do, or whether they pass."""

    def read(node: Any) -> list[Effect]:
        there = getattr(node, "relation", None) or getattr(node, "table", None)
        return [Effect("opaque", there.relname if there is not None else "", verb=verb)]

    return read


def _create_replaceable(verb: str) -> Callable[[Any], list[Effect]]:
    def read(node: Any) -> list[Effect]:
        if not node.replace:
            return [Effect("other", verb=f"CREATE {verb}")]
        name = name_of(node.funcname) if verb == "FUNCTION" else node.view.relname
        return [Effect("opaque", name=name, replaces=True, verb=f"CREATE OR REPLACE {verb}")]

    return read


def _create_view(node: Any) -> list[Effect]:
    """A view of one table's columns takes that table's statements, as far as its columns go
    (https://www.postgresql.org/docs/current/sql-createview.html, Updatable Views).
    """
    found = _create_replaceable("VIEW")(node)
    query = node.query
    tables: Any = getattr(query, "fromClause", None) or ()
    if len(tables) == 1 and is_a(tables[0], "RangeVar"):
        columns = [_view_column(one) for one in query.targetList or ()]
        simple = not (query.groupClause or query.distinctClause or query.limitCount or query.whereClause)
        if simple and all(columns):
            source = tables[0].relname
            found.append(Effect("create_view", node.view.relname, new=source, columns=tuple(columns)))
    return found


def _view_column(target: Any) -> str:
    """`*`, or `name=column` for a column under its own or another name; empty for an expression."""
    if not is_a(target.val, "ColumnRef"):
        return ""
    if is_a(target.val.fields[-1], "A_Star"):
        return "*"
    column = str(target.val.fields[-1].sval)
    return f"{target.name or column}={column}"


def _drop(node: Any) -> list[Effect]:
    kind = node.removeType.name
    cascade = node.behavior is not None and node.behavior.name == "DROP_CASCADE"
    noun = _noun(kind)
    names = [_dropped_name(one) for one in node.objects]
    found: list[Effect] = []
    for name in names:
        if kind in {"OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"}:
            found.append(Effect("drop_table", name, cascade=cascade, verb="DROP TABLE"))
        elif kind == "OBJECT_INDEX":
            concurrently = bool(node.concurrent)
            found.append(Effect("drop_index", name=name, concurrently=concurrently, verb="DROP INDEX"))
        elif kind == "OBJECT_SCHEMA" or (cascade and kind in _HOLDS_COLUMNS):
            verb = f"DROP {noun} {name}{' CASCADE' if cascade else ''}"
            found.append(Effect("truncate", name=name, cascade=cascade, verb=verb))
        elif kind in _GONE:
            found.append(Effect("gone", name=name, cascade=cascade, verb=f"DROP {noun} {name}"))
        elif kind in {"OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY"}:
            found.append(Effect("opaque", _table_of(node), verb=f"DROP {noun} {name}"))
        else:
            found.append(Effect("other", verb=f"DROP {noun}"))
    return found


def _dropped_name(one: Any) -> str:
    if isinstance(one, tuple):
        return name_of(one)
    for attribute in ("objname", "names"):
        if (parts := getattr(one, attribute, None)) is not None:
            return name_of(parts)
    return str(getattr(one, "sval", ""))


def _table_of(node: Any) -> str:
    parts = node.objects[0]
    return str(parts[-2].sval) if isinstance(parts, tuple) and len(parts) > 1 else ""


def _drop_database(node: Any) -> list[Effect]:
    return [Effect("truncate", name=node.dbname, verb=f"DROP DATABASE {node.dbname}")]


def _drop_owned(_: Any) -> list[Effect]:
    return [Effect("truncate", verb="DROP OWNED")]


def _rename(node: Any) -> list[Effect]:
    kind = node.renameType.name
    table = node.relation.relname if node.relation is not None else ""
    on_table = node.relationType is None or node.relationType.name in {"OBJECT_TABLE", "OBJECT_FOREIGN_TABLE"}
    if kind == "OBJECT_TABLE":
        return [Effect("rename_table", table, new=node.newname, verb="RENAME TO")]
    if kind == "OBJECT_COLUMN" and on_table:
        return [Effect("rename_column", table, node.subname, new=node.newname, verb="RENAME COLUMN")]
    if kind == "OBJECT_TABCONSTRAINT":
        return [Effect("other", table, name=node.subname, new=node.newname, verb="RENAME CONSTRAINT")]
    if kind == "OBJECT_INDEX":
        return [Effect("other", name=table, new=node.newname, verb="ALTER INDEX … RENAME")]
    harmless = {"OBJECT_INDEX", "OBJECT_SEQUENCE", "OBJECT_TRIGGER", "OBJECT_RULE", "OBJECT_POLICY"}
    return [Effect("other" if kind in harmless else "opaque", verb=f"ALTER {_noun(kind)} … RENAME")]


def _set_schema(node: Any) -> list[Effect]:
    if node.objectType.name == "OBJECT_TABLE":
        table = node.relation.relname
        return [Effect("rename_table", table, new=f"{node.newschema}.{table}", verb="SET SCHEMA")]
    harmless = node.objectType.name == "OBJECT_EXTENSION"
    return [
        Effect("other" if harmless else "opaque", verb=f"ALTER {_noun(node.objectType.name)} … SET SCHEMA")
    ]


def _alter_enum(node: Any) -> list[Effect]:
    name = name_of(node.typeName)
    if node.oldVal:
        return [Effect("gone", name=name, verb=f"ALTER TYPE {name} RENAME VALUE '{node.oldVal}'")]
    return [Effect("other", name=name, verb="ALTER TYPE … ADD VALUE")]


def _alter_domain(node: Any) -> list[Effect]:
    name = name_of(node.typeName)
    if node.subtype == "C" and node.def_.skip_validation:
        return [Effect("other", name=name, verb=f"ALTER DOMAIN {name} ADD CONSTRAINT")]
    if node.subtype in {"C", "O", "V"}:  # a constraint, SET NOT NULL, VALIDATE CONSTRAINT
        mode = "SHARE UPDATE EXCLUSIVE" if node.subtype == "V" else "SHARE"
        kind = "other" if node.subtype == "V" else "lock"
        return [Effect(kind, f"every table that uses domain {name}", new=mode, verb="ALTER DOMAIN")]
    return [Effect("other", name=name, verb="ALTER DOMAIN")]


def _create_sequence(node: Any) -> list[Effect]:
    return [Effect("create_sequence", name=node.sequence.relname, verb="CREATE SEQUENCE")]


def _alter_sequence(node: Any) -> list[Effect]:
    name = node.sequence.relname
    restarts = any(one.defname == "restart" for one in node.options or ())
    if restarts:
        return [Effect("restart", name=name, verb=f"ALTER SEQUENCE {name} RESTART")]
    return [Effect("other", name=name, verb="ALTER SEQUENCE")]


def _truncate(node: Any) -> list[Effect]:
    cascade = node.behavior is not None and node.behavior.name == "DROP_CASCADE"
    return [
        Effect("truncate", one.relname, cascade=cascade, verb=f"TRUNCATE {one.relname}")
        for one in node.relations
    ]


def _vacuum(node: Any) -> list[Effect]:
    if not node.is_vacuumcmd:
        return []
    full = any(one.defname == "full" and constant_option(one) for one in node.options or ())
    names = [one.relation.relname for one in node.rels or ()] or ["every table"]
    return [
        Effect("vacuum_full" if full else "vacuum", name, verb="VACUUM FULL" if full else "VACUUM")
        for name in names
    ]


def constant_option(node: Any) -> bool:
    """An option in parentheses is on: given without a value, or with one that says so."""
    value = getattr(node.arg, "sval", None) or getattr(node.arg, "boolval", None)
    return node.arg is None or str(value).lower() in {"true", "on", "1"}


def _cluster(node: Any) -> list[Effect]:
    table = node.relation.relname if node.relation is not None else "every table"
    return [Effect("cluster", table, verb="CLUSTER")]


def _reindex(node: Any) -> list[Effect]:
    concurrently = any(one.defname == "concurrently" and constant_option(one) for one in node.params or ())
    kind = _noun(node.kind.name.replace("REINDEX_OBJECT_", "OBJECT_"))
    name = node.relation.relname if node.relation is not None else node.name or "every table"
    index = kind == "INDEX"
    return [
        Effect("reindex", "" if index else name, name=name, concurrently=concurrently, verb=f"REINDEX {kind}")
    ]


def _refresh(node: Any) -> list[Effect]:
    if node.concurrent:
        return []
    return [Effect("reindex", node.relation.relname, verb="REFRESH MATERIALIZED VIEW")]


def _grant(node: Any) -> list[Effect]:
    return [] if node.is_grant else [Effect("opaque", verb="REVOKE")]


def _do(node: Any) -> list[Effect]:
    from .do_blocks import do_block

    return do_block(node)


def _owner(node: Any) -> list[Effect]:
    return [Effect("opaque", verb=f"ALTER {_noun(node.objectType.name)} … OWNER TO")]


def _noun(kind: str) -> str:
    noun = kind.removeprefix("OBJECT_").replace("_", " ")
    return {"MATVIEW": "MATERIALIZED VIEW", "TABCONSTRAINT": "CONSTRAINT"}.get(noun, noun)


def _words(name: str) -> str:
    return "".join(f" {letter}" if letter.isupper() else letter for letter in name).strip().upper()


STATEMENTS: dict[str, Callable[[Any], list[Effect]]] = {
    "AlterSeqStmt": _alter_sequence,
    "AlterTableStmt": alter_table,
    "AlterDomainStmt": _alter_domain,
    "AlterEnumStmt": _alter_enum,
    "AlterObjectSchemaStmt": _set_schema,
    "AlterOwnerStmt": _owner,
    "AlterPolicyStmt": _on_table("ALTER POLICY"),
    "ClusterStmt": _cluster,
    "CreateDomainStmt": _create_domain,
    "CreateFunctionStmt": _create_replaceable("FUNCTION"),
    "CreatePolicyStmt": _on_table("CREATE POLICY"),
    "CreateSeqStmt": _create_sequence,
    "CreateStmt": _create_table,
    "CreateForeignTableStmt": lambda node: _create_table(node.base),
    "CreateTableAsStmt": _create_table_as,
    "CreateTrigStmt": _on_table("CREATE TRIGGER"),
    "DeleteStmt": row_statements.delete,
    "DiscardStmt": session_statements.discard,
    "DoStmt": _do,
    "DropOwnedStmt": _drop_owned,
    "DropStmt": _drop,
    "DropdbStmt": _drop_database,
    "GrantStmt": _grant,
    "IndexStmt": _create_index,
    "InsertStmt": row_statements.insert,
    "LockStmt": session_statements.lock,
    "MergeStmt": row_statements.merge,
    "RefreshMatViewStmt": _refresh,
    "ReindexStmt": _reindex,
    "RenameStmt": _rename,
    "RuleStmt": _on_table("CREATE RULE"),
    "SelectStmt": row_statements.select,
    "TransactionStmt": session_statements.transaction,
    "TruncateStmt": _truncate,
    "UpdateStmt": row_statements.update,
    "VacuumStmt": _vacuum,
    "VariableSetStmt": session_statements.setting,
    "ViewStmt": _create_view,
    **dict.fromkeys(
        ("CommentStmt", "CopyStmt", "ExplainStmt", "ListenStmt", "NotifyStmt", "UnlistenStmt", "SecLabelStmt",
         "VariableShowStmt", "ConstraintsSetStmt", "CheckPointStmt"), _nothing,
    ),
    **dict.fromkeys(
        ("AlterExtensionStmt", "CompositeTypeStmt", "CreateEnumStmt", "CreateExtensionStmt",
         "CreateRangeStmt", "CreateSchemaStmt", "CreateStatsStmt", "AlterStatsStmt",
         "DefineStmt", "CreateCastStmt", "CreateRoleStmt", "CreatedbStmt", "CreateFdwStmt",
         "CreateForeignServerStmt", "CreateUserMappingStmt", "CreatePublicationStmt",
         "AlterDefaultPrivilegesStmt", "CreateAmStmt", "CreateOpClassStmt", "CreateOpFamilyStmt"), _other,
    ),
}  # fmt: skip
