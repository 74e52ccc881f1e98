"""Counted heads: chances of a code, or of an attribute's value, fitted to noisy counts instead of
learned from gradients.

Legality leaves few codes to a patient (a site has its regimens), so that one noisy count per
patient says more about them than clipped gradients do. A head is a log-linear model: a base weight
per value, and one per row and value of each table that ends in the choice (`first TYPE`, `second
TYPE`, `value ATTRIBUTE`, `again ATTRIBUTE`). Fitting reads noisy counts and synthetic pathways
only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pipeline.models.pathway.domain.calibration_table import CalibrationTable, joint_cell
from pipeline.models.pathway.domain.choices import tables_by_choice
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.head import Head
from pipeline.models.pathway.domain.pathways import positions, types_before
from pipeline.models.pathway.fit.descend import descend
from pipeline.models.pathway.fit.encoded_log import EncodedLog
from pipeline.models.pathway.fit.estimate import weighted_counts

# priors: Gaussian; Student's t, because most rows say little and some all
BASE_DEVIATION, ROW_SCALE, ROW_FREEDOM = 3.0, 0.7, 3
STEPS, RATE = 150, 0.15


@dataclass(frozen=True, eq=False)
class _Choices:
    """Some choices of one kind, alike ones together: parts [r] by name, number [r] (0 for the
    first), legal [r, k], how many [r].
    """

    parts: Mapping[str, np.ndarray]
    number: np.ndarray
    legal: np.ndarray
    count: np.ndarray


def fit_heads(
    coding: Coding,
    tables: Sequence[CalibrationTable],
    noisy: Sequence[np.ndarray],
    sigmas: Sequence[float],
    patients: pl.DataFrame,
    log: EncodedLog,
    population: float,
) -> tuple[Head, ...]:
    """A head for each choice that the tables teach.

    noisy, sigmas: noisy counts [cells] of each table and the standard deviation of their noise;
    patients, log: synthetic, of them only who chooses counts, not what is chosen; population:
    number of patients that the noisy counts are of.
    """
    counts = {
        table.name: (cells, sigma)
        for table, cells, sigma in zip(tables, noisy, sigmas, strict=True)
    }
    heads = []
    for choice, teachers in tables_by_choice(coding, tables).items():
        choices = _choices(coding, choice, teachers, patients, log)
        losses = [
            _TableLoss(
                table,
                *counts[table.name],
                choices,
                population / max(log.n_patients, 1),
                offset_of(coding, choice, table, patients),
            )
            for table in teachers
        ]
        heads.append(_fit(choice, losses, choices))
    return tuple(heads)


def offset_of(
    coding: Coding, choice: str, table: CalibrationTable, patients: pl.DataFrame
) -> np.ndarray:
    """Log weights from which the fit of a table starts, float64 [rows, k]: of a type that is `like`
    a static column, how the synthetic patients of each row are spread over that column. 0 for all
    others, for tables of later events, and for rows that are no static column's.
    """
    rows, k = table.cells // table.sizes[-1], table.sizes[-1] - 1
    kind = coding.grammar.log.types.get(choice)
    names = table.parts[:-1]
    if kind is None or kind.like is None or table.counts_later_events or patients.is_empty():
        return np.zeros((rows, k))
    if not names or not all(coding.is_static(name) for name in names):
        return np.zeros((rows, k))
    values = {name: coding.static_values(name, patients) for name in names}
    row = joint_cell(names, table.sizes[:-1], values, patients.height)
    g = coding.grammar
    tokens = coding.tokens_of(g.type_names.index(choice))
    places = {g.tokens[token][1]: place for place, token in enumerate(tokens)}
    code = patients[kind.like].cast(pl.String).replace_strict(places, default=None)
    has_code = code.is_not_null().to_numpy()
    counts = np.zeros((rows, k))
    np.add.at(counts, (row[has_code], code.drop_nulls().cast(pl.Int64).to_numpy()), 1.0)
    everybody = counts.sum(0) + 1.0
    # a row without patients is spread as everybody
    spread = counts + everybody / everybody.sum()
    return np.asarray(np.log(spread / spread.sum(1, keepdims=True)))


def _choices(
    coding: Coding,
    choice: str,
    tables: Sequence[CalibrationTable],
    patients: pl.DataFrame,
    log: EncodedLog,
) -> _Choices:
    g, pathways = coding.grammar, log.pathways
    owner = pathways.owner
    kind = g.token_type[log.token]
    if choice in g.type_names:
        t = g.type_names.index(choice)
        rows, codes = np.flatnonzero(kind == t), coding.tokens_of(t)
        legal = log.legal_sets[log.legal_set[owner[rows]]][:, codes]
        if g.once[codes].all():
            legal = legal & ~log.used_up[rows][:, np.searchsorted(np.flatnonzero(g.once), codes)]
        last = np.append(0, 1 + np.searchsorted(codes, log.token[rows]))[: len(rows)]
        parts = {
            f"first {choice}": np.where(positions(owner[rows]) > 0, last, 0),
            f"before {choice}": types_before(pathways, kind, rows),
        }
    else:
        place = coding.attribute_place(choice)
        rows = np.flatnonzero(coding.carries()[kind, place])
        legal = coding.legal_values(place, log.level[rows])
        value = np.append(0, 1 + log.attributes[rows, place])[: len(rows)]
        parts = {
            f"holder {choice}": 1 + np.searchsorted(coding.holders(place), log.token[rows]),
            f"carrier {choice}": 1 + kind[rows],
            f"value {choice}": np.where(positions(owner[rows]) > 0, value, 0),
        }
    number = positions(owner[rows])
    counts = number < 2
    # in one order: sums of floats depend on it
    names = dict.fromkeys(part for table in tables for part in table.parts[:-1])
    for part in names:
        if part not in parts:
            parts[part] = coding.static_values(part, patients)[owner[rows]]
    return _alike(
        _Choices(
            {part: parts[part][counts] for part in names},
            number[counts],
            legal[counts],
            np.ones(int(counts.sum())),
        )
    )


def _alike(choices: _Choices) -> _Choices:
    columns = np.column_stack(
        [choices.number, *choices.parts.values(), np.packbits(choices.legal, axis=1)]
    )
    _, first, count = np.unique(columns, axis=0, return_index=True, return_counts=True)
    return _Choices(
        {part: values[first] for part, values in choices.parts.items()},
        choices.number[first],
        choices.legal[first],
        count.astype(np.float64),
    )


def _fit(choice: str, losses: Sequence[_TableLoss], choices: _Choices) -> Head:
    """Maximum of a Gaussian likelihood of the noisy counts under the priors of the weights."""
    base = torch.zeros(losses[0].shape[1], requires_grad=True)
    weights = [torch.zeros(table.shape, requires_grad=True) for table in losses]
    illegal = torch.from_numpy(~choices.legal)
    repeated = torch.from_numpy((choices.number > 0).astype(np.float32))[:, None]

    def loss() -> Tensor:
        logits = base.expand(len(choices.count), -1)
        for table, values in zip(losses, weights, strict=True):
            row = (values + table.offset)[table.row]
            logits = logits + row * (repeated if table.is_later else 1.0)
        chances = logits.masked_fill(illegal, -1e9).softmax(1)
        total = base.square().sum() / (2 * BASE_DEVIATION**2)
        for table, values in zip(losses, weights, strict=True):
            total = (
                total
                + (ROW_FREEDOM + 1)
                / 2
                * torch.log1p(values.square() / (ROW_FREEDOM * ROW_SCALE**2)).sum()
                + table.loss(chances)
            )
        return total

    descend([base, *weights], loss, STEPS if len(choices.count) else 0, RATE)
    by_table = tuple(
        (table.table, (values + table.offset).detach().numpy())
        for table, values in zip(losses, weights, strict=True)
    )
    return Head(choice, base.detach().numpy(), by_table)


class _TableLoss:
    """What one table says about the chances: its noisy counts, and how many choices each of its
    rows is estimated to have.
    """

    def __init__(
        self,
        table: CalibrationTable,
        noisy: np.ndarray,
        sigma: float,
        choices: _Choices,
        scale: float,
        offset: np.ndarray,
    ) -> None:
        self.offset = torch.from_numpy(offset.astype(np.float32))
        counts = noisy.reshape(-1, table.sizes[-1])[:, 1:]  # without those who have no such event
        self.table, self.is_later = table, table.counts_later_events
        row = joint_cell(table.parts[:-1], table.sizes[:-1], choices.parts, len(choices.count))
        in_table = (choices.number == int(self.is_later)) * choices.count
        patients = np.bincount(row, in_table, minlength=len(counts)) * scale  # [rows]
        legal = np.zeros(counts.shape, bool)
        np.logical_or.at(legal, row[in_table > 0], choices.legal[in_table > 0])
        sums = np.where(legal, counts, 0).sum(1)
        events = weighted_counts(patients, sums, legal.sum(1) * sigma**2, scale)
        self.row, self.sigma, self.shape = torch.from_numpy(row), sigma, counts.shape
        self.share = torch.from_numpy(
            in_table * scale / np.maximum(patients, 1e-9)[row] * events[row]
        ).float()[:, None]
        self.legal = torch.from_numpy(legal)
        self.counts = torch.from_numpy(counts.astype(np.float32))

    def loss(self, chances: Tensor) -> Tensor:
        """Negative log-likelihood of the noisy counts, a scalar. chances [choices, k]."""
        expected = torch.zeros(self.shape).index_add(0, self.row, chances * self.share)
        variance = self.sigma**2 + expected.detach().clamp(min=1.0)
        return ((self.counts - expected).square() / (2 * variance) * self.legal).sum()
