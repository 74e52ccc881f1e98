"""The genes of `datasets/codes/genes.yaml`, and which tumours are tested for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from pipeline.refusal import Refusal
from pipeline.schema.codes import lists


@dataclass(frozen=True, kw_only=True)
class GeneTest:
    group: str
    morphology: str | None  # only tumours of this morphology
    late_only: bool  # only stage 3 and 4
    tested: float  # in [0, 1]
    abnormal: float  # in [0, 1], of the tested


@dataclass(frozen=True, kw_only=True)
class Gene:
    symbol: str
    code: int  # GENE
    name: str  # GENE_DESC is the symbol, this is the dictionary's text
    kind: str  # result column
    variants: tuple[str, ...]
    tests: tuple[GeneTest, ...]


@cache
def genes() -> Mapping[str, Gene]:
    """Gene symbol -> Gene."""
    raw = lists.read("genes.yaml")
    answer = {}
    for symbol, entry in raw["genes"].items():
        if entry["kind"] not in raw["kinds"]:
            raise Refusal(
                f"datasets/codes/genes.yaml, {symbol}: kind {entry['kind']!r} is not one of"
                f" {raw['kinds']}"
            )
        answer[symbol] = Gene(
            symbol=symbol,
            code=entry["code"],
            name=entry["name"],
            kind=entry["kind"],
            variants=tuple(entry.get("variants", ())),
            tests=tuple(_gene_test(test) for test in entry["tests"]),
        )
    return MappingProxyType(answer)


def _gene_test(row: list[Any]) -> GeneTest:
    group, condition, tested, abnormal = row
    parts = condition.split("&")
    morphology = next((part for part in parts if len(part) == 4 and part.isdigit()), None)
    return GeneTest(
        group=group,
        morphology=morphology,
        late_only="3-4" in parts,
        tested=tested / 100,
        abnormal=abnormal / 100,
    )
