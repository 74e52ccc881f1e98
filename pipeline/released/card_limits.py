"""What a card says that its extract, and its guarantee, cannot do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.models.table.plan.engines import ENGINES, MIXTURE
from pipeline.released.evidence_facts import EvidenceFacts
from pipeline.schema.values import KnownTable, Schema

SMALL_SHARE = 0.5  # of the nominal size: below it, a card says how few there are


@dataclass(frozen=True)
class ModelFacts:
    """What a card says of the model, from charged noisy counts alone.

    independent: pairs of columns that it draws independently of each other. noisy_size: of how many
        patients it learned; None for models of before it was noted. published: the tables to which
        it shrank. engine: what made the static columns, in words.
    """

    independent: Sequence[tuple[str, str]] = ()
    noisy_size: int | None = None
    published: Sequence[KnownTable] = ()
    warnings: Sequence[str] = ()  # of the gate on synthetic rows, in words
    evidence: EvidenceFacts | None = None  # None for models of before it was published
    engine: str = ENGINES[MIXTURE].title


def empty_columns(schema: Schema) -> list[str]:
    """Columns that no model fills."""
    return [
        f"{table.file}.{column.name}"
        for table in schema.tables.values()
        for column in table.columns.values()
        if column.role == "carried"
    ]


def not_covered(schema: Schema) -> list[str]:
    """What the guarantee does not cover."""
    entries = [
        (
            "a custodian's refusal after reading the restricted report is a human decision outside"
            " the (epsilon, delta) statement"
        ),
        "floating-point and timing side channels of DP-SGD",
        "people who share data with the patient, such as relatives",
        "whoever may read the restricted zone",
        "what can be concluded about groups",
        (
            "a patient who stands in the source under two ids is protected as two; whether there"
            " are such was not published"
        ),
        (
            "rows found through a key that two patients of the source share count for both, and the"
            " rows of such patients are not independent; whether there are such was not published"
        ),
    ]
    if schema.population.kind == "simulated":
        entries.append(
            "the source is simulated: no real patient is in it, and the guarantee is shown for"
            " practice"
        )
    return entries


def limits(schema: Schema, model: ModelFacts) -> list[str]:
    """What a reader must not read from the extract."""
    noisy_size = model.noisy_size
    lines = [
        f"noise makes small groups unreliable: {_smallest_cells(model.evidence)}",
        "confidence intervals computed as if these were real rows are too narrow",
    ]
    if schema.events is not None:
        lines += [
            f"a pathway holds at most {schema.events.max_events} events",
            (
                "details below the declared events (drug rows, radiotherapy fractions, dates of"
                " decision) are rebuilt by public rules"
            ),
        ]
    nominal = schema.population.nominal_size
    if noisy_size is not None and noisy_size < SMALL_SHARE * nominal:
        lines.insert(
            0,
            f"the model learned from about {noisy_size:,} patients (a noisy count), far below the"
            f" nominal size of {nominal:,}: the noise weighs more than the nominal size suggests",
        )
    return lines


def _smallest_cells(evidence: EvidenceFacts | None) -> str:
    """From how many patients of the extract on a cell says something, by the noise of this
    release.
    """
    if evidence is None:
        return "how small, this older model does not tell; take figures of large groups only"
    parts = []
    for kind, some in evidence.thresholds.items():
        least, most = (f(t.clear for t in some) for f in (min, max))
        if least == most:
            parts.append(f"{least:,} patients ({kind})")
        else:
            parts.append(f"{least:,} to {most:,} patients ({kind}, by table)")
    return f"read nothing from cells below {'; '.join(parts)}"
