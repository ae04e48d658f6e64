"""From what was observed to findings: who would wait, how long, and does it grow with a table."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deploy.reporting.facts import human_bytes, human_seconds
from deploy.reporting.findings import Finding

from ..run_findings import LOCK_TOO_LONG, REWRITTEN
from ..sql.modes import manual_name, stops
from .observe import Observer
from .observed import Held, Observed, Table
from .production import HOT_PER_SECOND, MANY_ROWS, QUIET_SECONDS, Production
from .rehearsal_findings import BLOCKS_WHILE_IT_GROWS, ROWS_LOCKED


@dataclass(frozen=True, slots=True)
class Judge:
    """Judges one migration (`place`). `limit_seconds` is how long writers may be stopped."""

    production: Production
    there: Mapping[str, Table]
    limit_seconds: float

    def findings(self, observer: Observer, place: str, *, atomic: bool) -> Iterator[Finding]:
        """What is to be said of the migration that `observer` has watched to its end."""
        said = set()
        for held in observer.held:
            if held.table.name in said:
                continue
            found = self._held(held, place)
            if found:
                said.add(held.table.name)
                yield found
        yield from self._rewritten(observer, place)
        yield from self._rows(observer.statements, place, atomic=atomic)

    def grows(self, one: Observed) -> bool:
        """Its cost grows with a table that was there before."""
        if one.rewritten:
            return True
        for name, rows in one.scanned.items():
            whole = self.there[name].rows
            # What DDL goes through, it goes through as a whole; an empty table is asked, too. Of a small
            # table the planner lets other statements read all even for one row.
            if rows * 2 >= whole >= MANY_ROWS if one.is_rows_only else rows > 0 or self.there[name].is_empty:
                return True
        return any(rows > 1 and rows * 2 >= self.there[name].rows for name, rows in one.written.items())

    def _seconds(self, held: Held) -> float:
        there = dict(self.there)
        more = sum(max(0.0, self.production.seconds(one, there) - one.seconds) for one in held.behind)
        return held.seconds + more

    def _held(self, held: Held, place: str) -> Finding | None:
        table, seconds = held.table, self._seconds(held)
        growing = [one for one in held.behind if self.grows(one)]
        rate = self.production.per_second(table.name)
        if seconds > self.limit_seconds:
            is_cold = rate is not None and rate < HOT_PER_SECOND
            return LOCK_TOO_LONG(
                lock=manual_name(held.mode),
                table=table.name,
                size=self._size(table),
                seconds=held.seconds,
                estimate=self._estimate(seconds, table.name),
                limit=self.limit_seconds,
                level="warning" if is_cold else "error",
                place=place,
            )
        if not growing or self.production.is_small(table.name):
            return None
        if self.production.is_known(table.name) and seconds <= QUIET_SECONDS:
            return None
        if any(table.name in one.rewritten for one in growing):
            return None  # deploy.M044 says it
        names = dict.fromkeys(
            name for one in growing for name in (*one.rewritten, *one.scanned, *one.written)
        )
        return BLOCKS_WHILE_IT_GROWS(
            lock=manual_name(held.mode),
            table=table.name,
            size=self._size(table),
            stops=stops(held.mode),
            through=", ".join(names),
            estimate=self._estimate(seconds, table.name),
            place=place,
        )

    def _rewritten(self, observer: Observer, place: str) -> Iterator[Finding]:
        spent: dict[str, list[Observed]] = {}
        for one in observer.statements:
            for name in one.rewritten:
                spent.setdefault(name, []).append(one)
        for name, statements in spent.items():
            there = dict(self.there)
            seconds = sum(self.production.seconds(one, there) for one in statements)
            if self.production.is_known(name) and seconds <= QUIET_SECONDS:
                continue
            yield REWRITTEN(
                table=name, size=self._size(there[name]), estimate=self._estimate(seconds, name), place=place
            )

    def _rows(self, statements: list[Observed], place: str, *, atomic: bool) -> Iterator[Finding]:
        """Rows that one transaction changed; those that it added were nobody's yet."""
        changed: dict[str, int] = {}
        at_once: dict[str, int] = {}
        for one in statements:
            for name, rows in one.changed.items():
                changed[name] = changed.get(name, 0) + rows if atomic else max(changed.get(name, 0), rows)
                if one.unbatched and one.count == 1:
                    at_once[name] = at_once.get(name, 0) + rows
        for name, rows in changed.items():
            whole = max(self.there[name].rows, 1)
            use = self.production.uses.get(name)
            many = rows
            if use is not None and use.rows is not None:
                many = max(rows, round(min(1.0, rows / whole) * use.rows))
                is_too_many = many >= MANY_ROWS
            else:
                # A batch on a small copy changes every row, too. In one transaction batches don't help;
                # outside, only what has none is told apart.
                at_all = rows if atomic else at_once.get(name, 0)
                is_too_many = rows >= MANY_ROWS or (at_all > 1 and rows * 2 >= whole)
            if is_too_many:
                of = f"{rows} of {self.there[name].rows} on the copy"
                yield ROWS_LOCKED(table=name, rows=many, of=of, place=place)

    def _size(self, table: Table) -> str:
        use = self.production.uses.get(table.name)
        if use is None:
            return f"{table.rows} rows, {human_bytes(table.size_bytes)} on the copy"
        rows = "rows unknown" if use.rows is None else f"{use.rows} rows"
        return f"{rows}, {human_bytes(use.size_bytes)} in production"

    def _estimate(self, seconds: float, table: str) -> str:
        if table in self.production.uses:
            return f"about {human_seconds(seconds)} in production"
        return f"{human_seconds(seconds)} on the copy, more on a larger table"
