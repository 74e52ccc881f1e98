"""Known tables that are wrong: the site mix of another country, as a test of what a model does with
a published table that does not fit.

    python -m bench.wrong_known --source simulated_5000 --splits 11 12 13

India, 2020: new cases at all ages, both sexes, of 35 kinds of cancer. GLOBOCAN 2020, International
Agency for Research on Cancer, Global Cancer Observatory: India fact sheet
(gco.iarc.fr/today/data/factsheets/populations/356-india-fact-sheets.pdf), read from cancer_data.csv
of github.com/Bayunova28/Cancer_Statistics_2020. ICD-10 codes of each kind as GLOBOCAN defines them.
Compared with England: mouth, cervix and oesophagus instead of skin, prostate and bowel, and no
tumour in situ.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Mapping
from dataclasses import replace

from bench import table_data, tables
from pipeline.schema.codes import tumour_sites
from pipeline.schema.values import KnownTable, Level, Schema

SOURCE = "GLOBOCAN 2020, India fact sheet: planted, it is not about this population"
WEIGHT = 3000.0  # as much as the weightiest true table
CASES: Mapping[tuple[str, ...], int] = {
    ("C00", "C01", "C02", "C03", "C04", "C05", "C06"): 135_929,
    ("C07", "C08"): 7_850,
    ("C09", "C10"): 20_617,
    ("C11",): 5_697,
    ("C12", "C13"): 28_489,
    ("C15",): 63_180,
    ("C16",): 60_222,
    ("C18",): 31_646,
    ("C19", "C20"): 28_260,
    ("C21",): 5_452,
    ("C22",): 34_743,
    ("C23",): 19_570,
    ("C25",): 12_642,
    ("C32",): 34_687,
    ("C33", "C34"): 72_510,
    ("C43",): 3_916,
    ("C45",): 1_709,
    ("C46",): 66,
    ("C50",): 178_361,
    ("C51",): 3_447,
    ("C52",): 5_518,
    ("C53",): 123_907,
    ("C54",): 16_413,
    ("C56",): 45_701,
    ("C60",): 10_677,
    ("C61",): 34_540,
    ("C62",): 4_681,
    ("C64", "C65"): 16_861,
    ("C67",): 21_096,
    ("C70", "C71", "C72"): 31_460,
    ("C73",): 20_432,
    ("C81",): 9_221,
    ("C82", "C83", "C84", "C85", "C86", "C96"): 35_828,
    ("C88", "C90"): 14_641,
    ("C91", "C92", "C93", "C94", "C95"): 48_419,
}


def with_wrong_tables(schema: Schema) -> Schema:
    """cancer_pathways or simulated_pathways, knowing the sites of India instead of anything of
    England.
    """
    return replace(schema, known=(_by_site(), _by_group()))


def _by_site() -> KnownTable:
    return _table("site", "SITE_ICD10_O2_3CHAR", CASES)


def _by_group() -> KnownTable:
    """Each kind of cancer stands whole in the group of its main site."""
    cases: dict[tuple[str, ...], int] = {}
    for codes, count in CASES.items():
        group = (tumour_sites.sites()[_main(codes)].group,)
        cases[group] = cases.get(group, 0) + count
    return _table("site_group", "SITE_GROUP", cases)


def _main(codes: tuple[str, ...]) -> str:
    """The code that names the kind: lung and not trachea, myeloma and not what is beside it."""
    return {"C33": "C34", "C88": "C90"}.get(codes[0], codes[0])


def _table(name: str, column: str, cases: Mapping[tuple[str, ...], int]) -> KnownTable:
    total = sum(cases.values())
    return KnownTable(
        name=name,
        columns=(column,),
        levels=(tuple(Level(values=values) for values in cases),),
        shares=tuple(count / total for count in cases.values()),
        source=SOURCE,
        year="2020",
        weight=WEIGHT,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--source", choices=table_data.SIMULATED, default="simulated_5000")
    parser.add_argument("--splits", type=int, nargs="+", default=table_data.FRESH)
    options = parser.parse_args()
    right = table_data.table(options.source)
    wrong = replace(right, schema=with_wrong_tables(right.schema))
    figures = ("two_way_tvd", "one_way_tvd", "quality")
    sys.stdout.write(f"| {options.source} | {' | '.join(figures)} |\n|---|---|---|---|\n")
    for name, table, with_tables in (
        ("no known table", right, False),
        ("sites of India", wrong, True),
        ("known tables of England", right, True),
    ):
        runs = [tables.ours(table, split, 1.0, with_tables=with_tables) for split in options.splits]
        means = (f"{statistics.mean(run[one] for run in runs):.4f}" for one in figures)
        sys.stdout.write(f"| {name} | {' | '.join(means)} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
