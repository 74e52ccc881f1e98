"""Breaches of the rules on radiotherapy."""

import polars as pl

from pipeline.simulator.broken_rules.edits import (
    COMBINED,
    EPISODE,
    EXPOSURE,
    NUMBER,
    OWNER,
    PRESCRIPTION,
    Breach,
    days,
    put,
)


def wrong_keys() -> tuple[Breach, ...]:
    """Tables of radiotherapy that do not fit one another."""
    first = pl.col(NUMBER) == 0
    return (
        Breach(
            rule="06",
            what="prescription of no attendance",
            table=PRESCRIPTION,
            where=first,
            edit=put(PRESCRIPTION, ATTENDID="1"),
        ),
        Breach(
            rule="07",
            what="the joined table says another dose",
            table=COMBINED,
            where=first,
            edit=put(COMBINED, RTACTUALDOSE="1.0"),
        ),
    )


def wrong_episodes() -> tuple[Breach, ...]:
    """Dates, doses and beams that no episode has."""
    first, every_row = pl.col(NUMBER) == 0, pl.lit(True)
    return (
        Breach(
            rule="46",
            what="decision after the first attendance",
            table=EPISODE,
            where=first,
            edit=put(EPISODE, COMBINED, rows=every_row, DECISIONTOTREATDATE=days("APPTDATE", 45)),
        ),
        Breach(
            rule="47",
            what="all attendances on one day",
            table=EPISODE,
            where=pl.col(NUMBER) == 9,
            edit=put(
                EPISODE,
                PRESCRIPTION,
                EXPOSURE,
                COMBINED,
                rows=every_row,
                APPTDATE=pl.col("APPTDATE").min().over(OWNER),
            ),
        ),
        Breach(
            rule="48",
            what="150 Gy",
            table=PRESCRIPTION,
            where=every_row,
            edit=put(PRESCRIPTION, COMBINED, rows=every_row, RTACTUALDOSE="150.0"),
        ),
        Breach(
            rule="50",
            what="an isotope in a photon beam",
            table=EXPOSURE,
            where=first & (pl.col("RADIOTHERAPYBEAMTYPE") == "T1"),
            edit=put(EXPOSURE, COMBINED, rows=every_row, RADIOISOTOPE="Ir192"),
        ),
    )
