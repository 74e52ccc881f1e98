"""Breaches of the rules on drugs: regimens, cycles, administrations and outcomes."""

import polars as pl

from pipeline.simulator.broken_rules.edits import (
    CYCLE,
    DRUG,
    NUMBER,
    OUTCOME,
    REGIMEN,
    Breach,
    days,
    put,
    twice,
)


def wrong_drugs() -> tuple[Breach, ...]:
    """Drugs and regimens that are not for this patient: few patients have them."""
    first = pl.col(NUMBER) == 0
    drug, regimen = pl.col("DRUG_GROUP"), pl.col("MAPPED_REGIMEN")
    return (
        Breach(
            rule="42",
            what="bladder regimen at another site",
            table=REGIMEN,
            where=first & (regimen == "CAPOX"),
            edit=put(
                REGIMEN, MAPPED_REGIMEN="BCG INTRAVESICAL", BENCHMARK_GROUP="BCG INTRAVESICAL"
            ),
        ),
        Breach(
            rule="41",
            what="capecitabine into the bladder",
            table=DRUG,
            where=first & (drug == "CAPECITABINE"),
            edit=put(DRUG, ADMINISTRATION_ROUTE="9"),
        ),
        Breach(
            rule="40",
            what="a drug that the regimen does not hold",
            table=DRUG,
            where=first & (drug == "PEMBROLIZUMAB"),
            edit=put(DRUG, DRUG_GROUP="BLEOMYCIN"),
        ),
    )


def wrong_keys() -> tuple[Breach, ...]:
    """A regimen of nobody, and two outcomes of one."""
    anyone = pl.lit(True)
    return (
        Breach(
            rule="02",
            what="link number of nobody",
            table=REGIMEN,
            where=anyone,
            edit=put(REGIMEN, LINK_NUMBER="1"),
        ),
        Breach(
            rule="05",
            what="two outcomes of one regimen",
            table=OUTCOME,
            where=anyone,
            edit=twice(OUTCOME),
        ),
    )


def wrong_courses() -> tuple[Breach, ...]:
    """Dates, cycle numbers and measurements that no course of drugs has."""
    first = pl.col(NUMBER) == 0
    return (
        Breach(
            rule="36",
            what="decision after the start",
            table=REGIMEN,
            where=first,
            edit=put(REGIMEN, DATE_DECISION_TO_TREAT=days("START_DATE_OF_REGIMEN", 30)),
        ),
        Breach(
            rule="37",
            what="a gap in the cycle numbers",
            table=CYCLE,
            where=(pl.col("CYCLE_NUMBER") == "2") & (pl.col(NUMBER) == 1),
            edit=put(CYCLE, rows=pl.col(NUMBER) == 1, CYCLE_NUMBER="9"),
        ),
        Breach(
            rule="39",
            what="a drug before its cycle",
            table=DRUG,
            where=first,
            edit=put(DRUG, ADMINISTRATION_DATE=days("ADMINISTRATION_DATE", -15)),
        ),
        Breach(
            rule="43",
            what="final treatment before the last cycle",
            table=OUTCOME,
            where=first,
            edit=put(OUTCOME, DATE_OF_FINAL_TREATMENT="2016-01-04"),
        ),
        Breach(
            rule="44",
            what="nine metres tall",
            table=REGIMEN,
            where=first,
            edit=put(REGIMEN, HEIGHT_AT_START_OF_REGIMEN="9.9"),
        ),
    )
