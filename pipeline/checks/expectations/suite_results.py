"""What the suites said: answers as plain values, apart from Great Expectations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ExpectationResult:
    """One expectation on one table. Counts are restricted where the rows are patients'."""

    suite: str
    kind: str
    column: str | None
    rule: str | None
    severity: str
    passed: bool
    counts: Mapping[str, float]

    @property
    def name(self) -> str:
        """What was expected of which column, for a message: nothing of the rows."""
        where = f"{self.suite}.{self.column}" if self.column else self.suite
        return (
            f"rule {self.rule}"
            if self.rule
            else f"{where}: {self.kind.removeprefix('expect_').replace('_', ' ')}"
        )


@dataclass(frozen=True)
class SuiteRun:
    """What one suite said about one table; `page` is its data docs."""

    name: str
    results: tuple[ExpectationResult, ...]
    page: str = field(repr=False)

    @property
    def failures(self) -> tuple[ExpectationResult, ...]:
        return tuple(one for one in self.results if not one.passed)
