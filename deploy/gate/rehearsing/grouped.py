"""What a model can no longer do, in one finding: its statements together, with the first reasons."""

from __future__ import annotations

from dataclasses import dataclass, field

from deploy.reporting.findings import Finding, FindingType, Level

_MOST_REASONS = 2


@dataclass
class Grouped:
    """Statements that fail, by type of finding, level and model, in the order in which they came."""

    _statements: dict[tuple[FindingType, Level, str, str], list[tuple[str, str]]] = field(
        default_factory=dict
    )

    def add(
        self,
        kind: FindingType,
        level: Level,
        model: str,
        statement: str,
        problem: str,
        *,
        values: str = "",
    ) -> None:
        """`values` is what the type's message says of them, if it does."""
        self._statements.setdefault((kind, level, model, values), []).append((statement, problem))

    def findings(self) -> list[Finding]:
        """One for each group."""
        found = []
        for (kind, level, model, values), failed in self._statements.items():
            statement = ", ".join(statement for statement, _ in failed)
            problem = "; ".join(list(dict.fromkeys(problem for _, problem in failed))[:_MOST_REASONS])
            found.append(
                kind(
                    model=model,
                    statement=statement,
                    problem=problem,
                    values=values,
                    place=model,
                    level=level,
                )
            )
        return found
