"""Counted heads: chances of a code, or of an attribute's value, fitted to noisy counts instead of
learned from gradients.

Legality leaves few codes to a patient (a site has its regimens), so that one noisy count per
patient says more about them than clipped gradients do. A head is a log-linear model: a base weight
per value, and one per row and value of each table that ends in the choice (`first TYPE`, `second
TYPE`, `value ATTRIBUTE`, `again ATTRIBUTE`, `picked value ATTRIBUTE`, `picked change ATTRIBUTE`).
Fitting reads noisy counts and synthetic pathways
only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
import torch
from torch import Tensor

from pipeline.models.pathway.domain.calibration_table import CalibrationTable, joint_cell
from pipeline.models.pathway.domain.choices import tables_by_choice
from pipeline.models.pathway.domain.coding import Coding
from pipeline.models.pathway.domain.fact_names import LAST
from pipeline.models.pathway.domain.head import Head
from pipeline.models.pathway.domain.value_ranges import changes
from pipeline.models.pathway.fit.descend import descend
from pipeline.models.pathway.fit.table_losses import ChangeLoss, Choices, TableLoss

# priors: Gaussian; Student's t, because most rows say little and some all
BASE_DEVIATION, ROW_SCALE, ROW_FREEDOM = 3.0, 0.7, 3
BEND = 1.0  # of the base weights from bin to bin of a number
RATE, MANY_TABLES = 0.15, 4


def fit_heads(
    coding: Coding,
    tables: Sequence[CalibrationTable],
    noisy: Sequence[np.ndarray],
    sigmas: Sequence[float],
    patients: pl.DataFrame,
    by_head: Mapping[str, Choices],
    population: float,
    steps: int,
) -> tuple[Head, ...]:
    """A head for each choice that the tables teach.

    noisy, sigmas: noisy counts [cells] of each table and the standard deviation of their noise;
    patients: synthetic; by_head: their choices, of which only who chooses counts; population:
    number of patients that the noisy counts are of; steps: of the descent.
    """
    counts = {
        table.name: (cells, sigma)
        for table, cells, sigma in zip(tables, noisy, sigmas, strict=True)
    }
    heads = []
    for choice, teachers in tables_by_choice(coding, tables).items():
        choices = by_head[choice]
        scale = population / max(patients.height, 1)
        losses = [
            ChangeLoss(
                table, *counts[table.name], choices, scale, value_changes(coding, choice, choices)
            )
            if table.counts_changes
            else TableLoss(
                table,
                *counts[table.name],
                choices,
                scale,
                offset_of(coding, choice, table, patients),
            )
            for table in teachers
        ]
        heads.append(_fit(choice, losses, choices, smooth_codes(coding, choice, teachers), steps))
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


def _start(losses: Sequence[TableLoss | ChangeLoss], k: int) -> np.ndarray:
    """Base weights from which a fit starts, float32 [k]: the log shares of all values by the tables
    of picked events, which are many; 0 where there are none.
    """
    totals = [
        loss.counts.sum(0).numpy() + loss.sigma
        for loss in losses
        if loss.table.counts_picked_events and not loss.table.counts_changes
    ]
    if not totals:
        return np.zeros(k, np.float32)
    shares = np.mean([total.clip(1.0) for total in totals], axis=0)
    return np.asarray(np.log(shares / shares.sum()), np.float32)


def value_changes(coding: Coding, choice: str, choices: Choices) -> np.ndarray:
    """Cell of the change that each value would be, int64 [r, k]."""
    codec = coding.attributes[coding.attribute_place(choice)]
    return np.asarray(changes(codec)[choices.parts[f"{LAST} {choice}"]])


def smooth_codes(
    coding: Coding, choice: str, tables: Sequence[CalibrationTable]
) -> np.ndarray | None:
    """Codes of bins of numbers, ascending, whose base weights bend little from one to the next;
    None where nothing is known of neighbours. Heads of first and second events have no such prior.
    """
    if not any(table.counts_picked_events for table in tables):
        return None
    codec = coding.attributes[coding.attribute_place(choice)]
    return np.arange(1 + len(codec.column.atoms), codec.size) if codec.is_numeric else None


def _fit(
    choice: str,
    losses: Sequence[TableLoss | ChangeLoss],
    choices: Choices,
    smooth: np.ndarray | None,
    steps: int,
) -> Head:
    """Maximum of a Gaussian likelihood of the noisy counts under the priors of the weights."""
    base = torch.from_numpy(_start(losses, choices.legal.shape[1])).requires_grad_()
    weights = [torch.zeros(table.shape, requires_grad=True) for table in losses]
    illegal = torch.from_numpy(~choices.legal)
    repeated = torch.from_numpy((choices.number > 0).astype(np.float32))[:, None]

    def loss() -> Tensor:
        logits = base.expand(len(choices.count), -1)
        for table, values in zip(losses, weights, strict=True):
            row = table.logits(values)
            logits = logits + row * (repeated if table.is_later else 1.0)
        chances = logits.masked_fill(illegal, -1e9).softmax(1)
        total = base.square().sum() / (2 * BASE_DEVIATION**2)
        if smooth is not None:
            total = total + base[smooth].diff(n=2).square().sum() / (2 * BEND**2)
        for table, values in zip(losses, weights, strict=True):
            total = (
                total
                + (ROW_FREEDOM + 1)
                / 2
                * torch.log1p(values.square() / (ROW_FREEDOM * ROW_SCALE**2)).sum()
                + table.loss(chances)
            )
        return total

    # the weights of many tables move a logit together; too fast, it sticks where chances are 0 or 1
    rate = RATE * min(1.0, MANY_TABLES / len(losses))
    descend([base, *weights], loss, steps if len(choices.count) else 0, rate)
    by_table = tuple(
        (table.table, (values + table.offset).detach().numpy())
        for table, values in zip(losses, weights, strict=True)
    )
    return Head(choice, base.detach().numpy(), by_table)
