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

from pipeline.models.pathway.domain.facts import (
    CHOICES,
    LATER,
    OF_A_NAME,
    attribute_place,
    before_rows,
    codes_of,
    holders,
    numbered,
    parsed,
)
from pipeline.models.pathway.domain.state import Coding
from pipeline.models.pathway.domain.tables import (
    CalibrationTable,
    believed,
    is_static,
    row_of,
    static_values,
)
from pipeline.models.pathway.fit.data import EncodedLog
from pipeline.models.pathway.fit.descend import descend
from pipeline.refusal import Refusal

# priors: Gaussian; Student's t, because most rows say little and some all
BASE_DEVIATION, ROW_SCALE, ROW_FREEDOM = 3.0, 0.7, 3
STEPS, RATE = 150, 0.15


@dataclass(frozen=True, eq=False)
class Head:
    """`choice` names a type or an attribute; base [k]; tables by name with weights [rows, k], k the
    number of its codes or values.
    """

    choice: str
    base: np.ndarray
    tables: tuple[tuple[CalibrationTable, np.ndarray], ...]

    def logits(self, parts: Mapping[str, np.ndarray], repeated: np.ndarray) -> np.ndarray:
        """[n, k]. parts: value of each part but the choice, [n]; repeated [n]: not the first event
        of the type, or with the attribute.
        """
        total = np.tile(self.base, (len(repeated), 1))
        for table, weights in self.tables:
            mine = np.flatnonzero(repeated) if is_later(table) else np.arange(len(repeated))
            row = row_of(
                table.parts[:-1],
                table.sizes[:-1],
                {part: parts[part][mine] for part in table.parts[:-1]},
                len(mine),
            )
            total[mine] += weights[row]
        return total


@dataclass(frozen=True, eq=False)
class _Choices:
    """Some choices of one kind, alike ones together: parts [r] by name, number [r] (0 for the
    first), legal [r, k], how many [r].
    """

    parts: Mapping[str, np.ndarray]
    number: np.ndarray
    legal: np.ndarray
    count: np.ndarray


def is_later(table: CalibrationTable) -> bool:
    """It counts second events: first choices are not its business."""
    return table.parts[-1].startswith(tuple(f"{kind} " for kind in LATER))


def choice_of(coding: Coding, table: CalibrationTable) -> str | None:
    """The type or attribute whose head the table teaches; None: it is for the calibration alone.

    Raises ValueError where another part of such a table is not known when the choice is made.
    """
    last = table.parts[-1]
    if is_static(coding, last) or not OF_A_NAME.fullmatch(last):
        return None
    kind, name = parsed(coding, last)
    if kind not in CHOICES:
        return None
    known = {
        "first": {f"before {name}"},
        "second": {f"first {name}"},
        "value": {f"holder {name}", f"carrier {name}"},
        "again": {f"value {name}"},
    }
    known_here = known[kind] | set(coding.grammar.schema.patients)
    if wrong := [part for part in table.parts[:-1] if part not in known_here]:
        raise Refusal(
            f"events.counted: {wrong[0]!r} is not known when {last!r} is chosen: put it last in a"
            " table of its own"
        )
    return name


def tables_by_choice(
    coding: Coding, tables: Sequence[CalibrationTable]
) -> dict[str, list[CalibrationTable]]:
    """The tables that teach each head, in the order of the plan. Raises ValueError for a table that
    cannot teach, or second events alone.
    """
    found: dict[str, list[CalibrationTable]] = {}
    for table in tables:
        if choice := choice_of(coding, table):
            found.setdefault(choice, []).append(table)
    for choice, mine in found.items():
        if all(is_later(table) for table in mine):
            first = "first" if choice in coding.grammar.type_names else "value"
            raise Refusal(
                f"events.counted: {mine[0].parts[-1]!r} counts second events; count '{first}"
                f" {choice}' in a table, too"
            )
    return found


def uniform_heads(coding: Coding, tables: Sequence[CalibrationTable]) -> tuple[Head, ...]:
    """Heads that know nothing yet: every legal value is as likely as another."""
    return tuple(
        Head(
            choice,
            np.zeros(mine[0].sizes[-1] - 1, np.float32),
            tuple(
                (table, np.zeros((table.cells // table.sizes[-1], table.sizes[-1] - 1), np.float32))
                for table in mine
            ),
        )
        for choice, mine in tables_by_choice(coding, tables).items()
    )


def fit_heads(
    coding: Coding,
    tables: Sequence[CalibrationTable],
    noisy: Sequence[np.ndarray],
    sigmas: Sequence[float],
    patients: pl.DataFrame,
    log: EncodedLog,
    population: float,
) -> tuple[Head, ...]:
    """A head for each choice that the tables teach. patients, log: synthetic; of them only who
    chooses counts, not what is chosen.
    """
    told = {
        table.name: (counts, sigma)
        for table, counts, sigma in zip(tables, noisy, sigmas, strict=True)
    }
    made = []
    for choice, mine in tables_by_choice(coding, tables).items():
        found = _choices(coding, choice, mine, patients, log)
        targets = [
            _Target(table, *told[table.name], found, population / max(log.n_patients, 1))
            for table in mine
        ]
        made.append(_fit(choice, targets, found))
    return tuple(made)


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
        rows, codes = np.flatnonzero(kind == t), codes_of(coding, t)
        legal = log.legal_sets[log.legal_set[owner[rows]]][:, codes]
        if g.once[codes].all():
            legal = legal & ~log.taken[rows][:, np.searchsorted(np.flatnonzero(g.once), codes)]
        last = np.append(0, 1 + np.searchsorted(codes, log.token[rows]))[: len(rows)]
        parts = {
            f"first {choice}": np.where(numbered(owner[rows]) > 0, last, 0),
            f"before {choice}": before_rows(pathways, kind, rows),
        }
    else:
        place = attribute_place(coding, choice)
        rows = np.flatnonzero(coding.carries()[kind, place])
        legal = np.tile(coding.attributes[place].legal, (len(rows), 1))
        value = np.append(0, 1 + log.attributes[rows, place])[: len(rows)]
        parts = {
            f"holder {choice}": 1 + np.searchsorted(holders(coding, place), log.token[rows]),
            f"carrier {choice}": 1 + kind[rows],
            f"value {choice}": np.where(numbered(owner[rows]) > 0, value, 0),
        }
    number = numbered(owner[rows])
    kept = number < 2
    parts = {
        part: (
            parts[part] if part in parts else static_values(coding, part, patients)[owner[rows]]
        )[kept]
        # in one order: sums of floats depend on it
        for part in dict.fromkeys(part for table in tables for part in table.parts[:-1])
    }
    return _alike(_Choices(parts, number[kept], legal[kept], np.ones(int(kept.sum()))))


def _alike(found: _Choices) -> _Choices:
    columns = np.column_stack(
        [found.number, *found.parts.values(), np.packbits(found.legal, axis=1)]
    )
    _, first, count = np.unique(columns, axis=0, return_index=True, return_counts=True)
    return _Choices(
        {part: values[first] for part, values in found.parts.items()},
        found.number[first],
        found.legal[first],
        count.astype(np.float64),
    )


def _fit(choice: str, targets: Sequence[_Target], found: _Choices) -> Head:
    """Maximum of a Gaussian likelihood of the noisy counts under the priors of the weights."""
    base = torch.zeros(targets[0].shape[1], requires_grad=True)
    weights = [torch.zeros(target.shape, requires_grad=True) for target in targets]
    illegal = torch.from_numpy(~found.legal)
    repeated = torch.from_numpy((found.number > 0).astype(np.float32))[:, None]

    def loss() -> Tensor:
        logits = base.expand(len(found.count), -1)
        for target, values in zip(targets, weights, strict=True):
            logits = logits + values[target.row] * (repeated if target.second else 1.0)
        chances = logits.masked_fill(illegal, -1e9).softmax(1)
        total = base.square().sum() / (2 * BASE_DEVIATION**2)
        for target, values in zip(targets, weights, strict=True):
            total = (
                total
                + (ROW_FREEDOM + 1)
                / 2
                * torch.log1p(values.square() / (ROW_FREEDOM * ROW_SCALE**2)).sum()
                + target.loss(chances)
            )
        return total

    descend([base, *weights], loss, STEPS if len(found.count) else 0, RATE)
    by_table = tuple(
        (target.table, values.detach().numpy())
        for target, values in zip(targets, weights, strict=True)
    )
    return Head(choice, base.detach().numpy(), by_table)


class _Target:
    """What one table says about the chances: its counts, and how many choices each of its rows is
    believed to have.
    """

    def __init__(
        self,
        table: CalibrationTable,
        noisy: np.ndarray,
        sigma: float,
        found: _Choices,
        scale: float,
    ) -> None:
        told = noisy.reshape(-1, table.sizes[-1])[:, 1:]  # without those who have no such event
        self.table, self.second = table, is_later(table)
        row = row_of(table.parts[:-1], table.sizes[:-1], dict(found.parts), len(found.count))
        mine = (found.number == int(self.second)) * found.count
        drawn = np.bincount(row, mine, minlength=len(told)) * scale  # [rows]
        legal = np.zeros(told.shape, bool)
        np.logical_or.at(legal, row[mine > 0], found.legal[mine > 0])
        sums = np.where(legal, told, 0).sum(1)
        events = believed(drawn, sums, legal.sum(1) * sigma**2, scale)
        self.row, self.sigma, self.shape = torch.from_numpy(row), sigma, told.shape
        self.share = torch.from_numpy(
            mine * scale / np.maximum(drawn, 1e-9)[row] * events[row]
        ).float()[:, None]
        self.legal, self.told = torch.from_numpy(legal), torch.from_numpy(told.astype(np.float32))

    def loss(self, chances: Tensor) -> Tensor:
        expected = torch.zeros(self.shape).index_add(0, self.row, chances * self.share)
        variance = self.sigma**2 + expected.detach().clamp(min=1.0)
        return ((self.told - expected).square() / (2 * variance) * self.legal).sum()
