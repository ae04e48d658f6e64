"""What is in a database, in a form that survives a dump and a restore, and the comparison of two of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from deploy.reporting.findings import Finding

from .findings import CONTENT_DIFFERS, OBJECTS_DIFFER, ROWS_DIFFER, SEQUENCE_DIFFERS
from .findings_of_proofs import DEFINITIONS_DIFFER
from .manifest import Manifest


@dataclass(frozen=True, slots=True)
class Contents:
    """Rows, digests and samples by table, number and definitions of schema objects by kind, spans of
    sequences: what a `Manifest` says of them.
    """

    tables: dict[str, int]
    digests: dict[str, str] = field(default_factory=dict)
    objects: dict[str, int] = field(default_factory=dict)
    sequences: dict[str, list[int]] = field(default_factory=dict)
    samples: dict[str, int] = field(default_factory=dict)
    definitions: dict[str, str] = field(default_factory=dict)


def differences(manifest: Manifest, restored: Contents) -> Iterator[Finding]:
    """A finding for every table, kind of object or sequence that is not as the manifest says.

    What a manifest does not speak of (one of an earlier version) is not compared, nor definitions that the
    restored database does not speak of (on a server of another major version).
    """
    for table in sorted(manifest.tables.keys() | restored.tables.keys()):
        saved, found = manifest.tables.get(table), restored.tables.get(table)
        if saved != found:
            yield ROWS_DIFFER(
                table=table,
                id=manifest.id,
                saved="no such table" if saved is None else saved,
                restored="no" if found is None else found,
                place=table,
            )
        elif table in manifest.digests and manifest.digests[table] != restored.digests.get(table):
            yield CONTENT_DIFFERS(
                table=table,
                id=manifest.id,
                saved=manifest.digests[table],
                restored=restored.digests.get(table, "none"),
                place=table,
            )
    for kind, saved in manifest.objects.items():
        if restored.objects.get(kind, 0) != saved:
            yield OBJECTS_DIFFER(
                id=manifest.id, kind=kind, saved=saved, restored=restored.objects.get(kind, 0)
            )
    for kind in sorted(manifest.definitions.keys() & restored.definitions.keys()):
        if manifest.definitions[kind] != restored.definitions[kind]:
            yield DEFINITIONS_DIFFER(id=manifest.id, kind=kind, place=kind)
    for sequence, (lowest, highest) in manifest.sequences.items():
        position = restored.sequences.get(sequence)
        if position is None or not lowest <= position[0] <= highest:
            yield SEQUENCE_DIFFERS(
                id=manifest.id,
                sequence=sequence,
                saved=lowest if lowest == highest else f"{lowest} to {highest}",
                restored="no number at all" if position is None else position[0],
                place=sequence,
            )
