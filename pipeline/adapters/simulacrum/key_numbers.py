"""Fresh keys in the forms of the real release, none of a real record.

Whole numbers of eight or nine digits, below 2^31: public PostgreSQL loaders declare INTEGER keys.
Each is made of the patient's number and a position behind it, so that partitions of patients never
share one; an extract of up to 10 million patients keeps them in range.
"""

from __future__ import annotations

import polars as pl

from pipeline.adapters.simulacrum.names import CYCLES_PER_REGIMEN, TUMOURS_PER_PATIENT
from pipeline.schema.patient_log import ID, PatientLog

PATIENTS_FROM = 10_000_000  # patients of an extract are numbered from the next number on
LINK_NUMBERS_FROM = 100_000_000  # another number than PATIENTID, as in the registry
REGIMENS_PER_PATIENT = COURSES_PER_PATIENT = 10  # above the contribution caps
# invented providers: LINKCODE stands for the organisation, which many patients share
_SECOND, _THIRD = "ABDEGHKMNPRSTVWY", "CFLY"


def as_registry_numbers(log: PatientLog) -> PatientLog:
    """Synthetic patients 1 to n under the numbers that their tables give them."""
    shifted = (pl.col(ID) + PATIENTS_FROM).alias(ID)
    events = log.events.with_columns(shifted) if log.events is not None else None
    return PatientLog(log.patients.with_columns(shifted), events)


def nth_patient() -> pl.Expr:
    """1 for the first patient of an extract."""
    number = pl.col(ID).cast(pl.Int64)
    return pl.when(number > PATIENTS_FROM).then(number - PATIENTS_FROM).otherwise(number)


def patient_number() -> pl.Expr:
    return nth_patient() + PATIENTS_FROM


def link_number() -> pl.Expr:
    return nth_patient() + LINK_NUMBERS_FROM


def tumour_number(position: pl.Expr) -> pl.Expr:
    """`position` counts the patient's tumours from 1."""
    return _number(TUMOURS_PER_PATIENT, position)


def regimen_number(line: pl.Expr) -> pl.Expr:
    """`line` counts the patient's regimens from 1."""
    return _number(REGIMENS_PER_PATIENT, line)


def cycle_number(line: pl.Expr, cycle: pl.Expr) -> pl.Expr:
    """`cycle` counts the cycles of the regimen from 1."""
    return _number(
        REGIMENS_PER_PATIENT * CYCLES_PER_REGIMEN, (line - 1) * CYCLES_PER_REGIMEN + cycle
    )


def course_number(course: pl.Expr) -> pl.Expr:
    """`course` counts the patient's courses of radiotherapy from 1."""
    return _number(COURSES_PER_PATIENT, course)


def link_code() -> pl.Expr:
    """Three letters, such as LKY: the provider of all the patient's radiotherapy."""
    codes = [f"L{second}{third}" for second in _SECOND for third in _THIRD]
    return (nth_patient() * 7919 % len(codes)).replace_strict(
        dict(enumerate(codes)), return_dtype=pl.String
    )


def _number(most: int, position: pl.Expr) -> pl.Expr:
    """The number of a thing of which a patient has at most `most`, at a position from 1."""
    return PATIENTS_FROM + (nth_patient() - 1) * most + position.cast(pl.Int64)
