"""Which tokens a patient's static columns allow, and which patients a declared group holds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import polars as pl

from pipeline.schema import groups
from pipeline.schema.values import EventLog, LegalCodes

Token = tuple[str, str | None]


def legal_sets(
    log: EventLog, tokens: Sequence[Token], patients: pl.DataFrame
) -> tuple[np.ndarray, np.ndarray]:
    """Tokens that the static columns allow: the different sets, bool [u, tokens], and which of them
    each patient has, int32 [n].

    Where the columns forbid every terminal, terminals are free.
    """
    named = {name for rule in log.exclusions for name in rule.group}
    columns = sorted(named | {rule.given for rule in log.legal_codes})
    if not columns:
        return np.ones((1, len(tokens)), bool), np.zeros(patients.height, np.int32)
    kinds = patients.select(columns).unique(maintain_order=True).with_row_index("_set")
    index = patients.select(columns).join(
        kinds, on=columns, how="left", nulls_equal=True, maintain_order="left"
    )["_set"]
    return _allowed(log, tokens, kinds), index.to_numpy().astype(np.int32)


def _allowed(log: EventLog, tokens: Sequence[Token], patients: pl.DataFrame) -> np.ndarray:
    answer = np.ones((patients.height, len(tokens)), bool)
    for rule in log.legal_codes:
        of_type = [v for v, (name, _) in enumerate(tokens) if name == rule.type]
        answer[:, of_type] &= _by_value(rule, [tokens[v][1] for v in of_type], patients)
    for exclusion in log.exclusions:
        out = np.array(
            [
                name in exclusion.types and (exclusion.codes is None or code in exclusion.codes)
                for name, code in tokens
            ]
        )
        rows = np.flatnonzero(in_group(exclusion.group, patients))
        answer[np.ix_(rows, np.flatnonzero(out))] = False
    last = np.array([log.types[name].terminal for name, _ in tokens])
    answer[:, last] |= ~answer[:, last].any(1, keepdims=True)
    return answer


def in_group(group: groups.Group | None, patients: pl.DataFrame) -> np.ndarray:
    """bool [n]; everybody where no group is declared."""
    if group is None:
        return np.ones(patients.height, bool)
    return patients.select(groups.in_group(group)).to_series().to_numpy()


def _by_value(rule: LegalCodes, codes: Sequence[str | None], patients: pl.DataFrame) -> np.ndarray:
    """bool [n, codes] by the value of the static column."""
    values = sorted(rule.allowed)
    # the last row: a value that the rule does not list
    legal = np.zeros((len(values) + 1, len(codes)), bool)
    for row, value in enumerate(values):
        legal[row] = [code in set(rule.allowed[value]) for code in codes]
    rows = (
        patients[rule.given]
        .cast(pl.String)
        .replace_strict(
            {value: row for row, value in enumerate(values)},
            default=len(values),
            return_dtype=pl.Int32,
        )
    )
    return np.asarray(legal[rows.to_numpy()])
