"""The genes of `datasets/codes/genes.yaml`, and which tumours are tested for each."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType
from typing import Any

from pipeline.refusal import Refusal
from pipeline.schema.codes import lists

# OVERALL_TS: the results that a test of the panel has
ABNORMAL, NORMAL, BORDERLINE, FAILED = "a:abnormal", "b:normal", "c:borderline", "e:failed"
UNKNOWN = "g:unknown/null"  # OVERALL_TS of tests without a status
NOT_APPLICABLE = "n:not_applicable_null"  # in the four result columns of other kinds of test
# result column -> values of an abnormal, a normal and a borderline result, and ABNORMAL_GAT; a gene
# of expression or copy number says which way
_RESULTS = {
    "DNASEQ_GAT": ("a:abnormal_dna_sq", "b:normal_dna_sq", "c:borderline_a_dna_sq", "dna_sq"),
    "METHYL_GAT": ("a:abnormal_methyl", "b:normal_epi", "c:borderline_a_methyl", "ab_methyl"),
    "EXP_GAT": ("ab:abnormal_over_exp", "b:normal_exp", "cb:borderline_a_over_exp", "over_exp"),
    "COPYNO_GAT": (
        "ab:abnormal_copy_no_gain",
        "b:normal_re_copy_no",
        "cb:borderline_a_copy_no_gain",
        "copyno_gain",
    ),
    "FUS_TRANS_GAT": (
        "a:abnormal_fusion/trans",
        "b:normal_fusion/trans",
        "c:borderline_a_fusion/trans",
        "fus_trans",
    ),
}
RESULT_COLUMNS = tuple(_RESULTS)


@dataclass(frozen=True, kw_only=True)
class GeneTest:
    group: str
    morphology: str | None  # only tumours of this morphology
    late_only: bool  # only stage 3 and 4
    tested: float  # in [0, 1]
    abnormal: float  # in [0, 1], of the tested


@dataclass(frozen=True, kw_only=True)
class Gene:
    symbol: str  # GENE_DESC, as in z_gene
    code: int  # GENE
    kind: str  # result column
    abnormal: str  # its value for an abnormal result
    normal: str
    borderline: str
    abnormality: str  # ABNORMAL_GAT of an abnormal result
    variants: tuple[str, ...]
    tests: tuple[GeneTest, ...]


@cache
def genes() -> Mapping[str, Gene]:
    """Gene symbol -> Gene."""
    raw = lists.read("genes.yaml")
    codes = {symbol: int(code) for code, symbol in lists.lookup("gene").items()}
    answer = {}
    for symbol, entry in raw["genes"].items():
        if entry["kind"] not in _RESULTS:
            raise Refusal(
                f"datasets/codes/genes.yaml, {symbol}: kind {entry['kind']!r} is not one of"
                f" {', '.join(_RESULTS)}"
            )
        if symbol not in codes:
            raise Refusal(
                f"datasets/codes/genes.yaml, {symbol}: no such gene in the list `gene` of"
                " lookups.yaml; write it as there"
            )
        abnormal, normal, borderline, abnormality = _RESULTS[entry["kind"]]
        answer[symbol] = Gene(
            symbol=symbol,
            code=codes[symbol],
            kind=entry["kind"],
            abnormal=abnormal,
            normal=normal,
            borderline=borderline,
            abnormality=abnormality,
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
