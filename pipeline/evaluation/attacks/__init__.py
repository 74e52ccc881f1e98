"""Attacks on a synthetic table by someone who has it, each beside the same attack on patients who
were not trained on. docs/attacks.md says what each can and cannot show.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import numpy as np

from pipeline.evaluation.attacks import copies, inference, linkability, membership, singling_out
from pipeline.evaluation.attacks.rows import MIN_PATIENTS, Tables, tables
from pipeline.evaluation.attacks.trials import Trial, risks
from pipeline.evaluation.findings import Risk
from pipeline.schema.patient_log import PatientLog
from pipeline.schema.values import Schema

SEED = 1_607  # public: attacks give the same figures again
ATTACKS: Mapping[str, Callable[[Tables, np.random.Generator], list[Trial]]] = MappingProxyType(
    {
        "singling out": singling_out.trials,
        "linkability": linkability.trials,
        "inference": inference.trials,
        "membership": membership.trials,
        "copies of patients": copies.patient_trials,
        "copies of date sequences": copies.sequence_trials,
    }
)


def run_attacks(
    schema: Schema,
    train: PatientLog,
    holdout: PatientLog,
    synthetic: PatientLog,
    progress: Callable[[str], None],
) -> list[Risk]:
    """All attacks, judged together; none where a table has fewer than MIN_PATIENTS patients.

    train: the patients that the model was fitted to; holdout: patients of the same source that it
    never saw, the control. Every figure is made with patients' rows: restricted.
    """
    logs = (train, holdout, synthetic)
    if min(len(log.patients) for log in logs) < MIN_PATIENTS:
        progress("attacks: too few patients")
        return []
    material = tables(schema, train, holdout, synthetic)
    if not material.train.names:
        progress("attacks: no columns")
        return []
    trials = []
    for number, (name, attack) in enumerate(ATTACKS.items()):
        trials += attack(material, np.random.default_rng([SEED, number]))
        progress(f"attacks: {name}")
    return risks(trials)
