"""Documents with every type that Firestore has, and the odd places where documents lie."""

from __future__ import annotations

from typing import Any

from deploy.backup.firestore.connection import Database


def nested(depth: int) -> dict[str, Any]:
    inner: dict[str, Any] = {"stringValue": "the innermost"}
    for _ in range(depth):
        inner = {"mapValue": {"fields": {"deeper": inner}}}
    return inner


def types(database: Database) -> dict[str, Any]:
    """As typed JSON, in the canonical form; references into `database` and out of it."""
    return {
        "null": {"nullValue": None},
        "yes": {"booleanValue": True},
        "no": {"booleanValue": False},
        "zero": {"integerValue": "0"},
        "beyond_doubles": {"integerValue": str(2**53 + 1)},
        "least": {"integerValue": str(-(2**63))},
        "most": {"integerValue": str(2**63 - 1)},
        "whole_double": {"doubleValue": 5.0},
        "third": {"doubleValue": 1 / 3},
        "tiny": {"doubleValue": 5e-324},
        "huge": {"doubleValue": 1.7976931348623157e308},
        "minus_zero": {"doubleValue": -0.0},
        "nan": {"doubleValue": "NaN"},
        "infinity": {"doubleValue": "Infinity"},
        "minus_infinity": {"doubleValue": "-Infinity"},
        "moment": {"timestampValue": "2026-11-25T01:02:03.123456Z"},
        "whole_second": {"timestampValue": "2026-11-25T01:02:03Z"},
        "before_1970": {"timestampValue": "1969-12-31T23:59:59.999999Z"},
        "first_moment": {"timestampValue": "0001-01-01T00:00:00Z"},
        "last_moment": {"timestampValue": "9999-12-31T23:59:59.999999Z"},
        "text": {"stringValue": 'é \u2028 \x00 \n " \\ \U0001f600 \ufeff e\u0301'},
        "empty_text": {"stringValue": ""},
        "bytes": {"bytesValue": "AP8KDQ=="},
        "no_bytes": {"bytesValue": ""},
        "inside": {"referenceValue": f"{database.documents}/people/zoë"},
        "outside": {"referenceValue": "projects/elsewhere/databases/(default)/documents/a/b"},
        "pole": {"geoPointValue": {"latitude": -90.0, "longitude": 180.0}},
        "null_island": {"geoPointValue": {"latitude": 0.0, "longitude": 0.0}},
        "vector": {
            "mapValue": {
                "fields": {
                    "__type__": {"stringValue": "__vector__"},
                    "value": {"arrayValue": {"values": [{"doubleValue": 1.0}, {"doubleValue": -0.0}]}},
                }
            }
        },
        "empty_map": {"mapValue": {"fields": {}}},
        "empty_array": {"arrayValue": {"values": []}},
        "array": {
            "arrayValue": {
                "values": [
                    {"nullValue": None},
                    {"integerValue": "1"},
                    {"mapValue": {"fields": {"x": {"referenceValue": f"{database.documents}/a/b"}}}},
                ]
            }
        },
        "nested": nested(15),
        "odd ` name.with [everything] \\ \u2028": {"booleanValue": True},
    }


def everywhere(database: Database) -> dict[str, dict[str, Any]]:
    """Where documents can lie."""
    one = {"n": {"integerValue": "1"}}
    return {
        "all/types": types(database),
        "all/empty": {},
        "missing/parent/child/lives": one,
        "missing/parent/child/missing too/grandchild/lives": one,
        "deep/1/deep/1/deep/1/deep/1/deep/1": one,
        "ödd col.`x %2F ☺/ÿ doc?#[]*~": one,
        "people/zoë": {"friend": {"referenceValue": f"{database.documents}/people/zoë/pets/rex"}},
        "people/zoë/pets/rex": one,
        "A/1": one,
        "z/10": one,
        "z/9": one,
    }
