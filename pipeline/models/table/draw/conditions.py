"""A sampler under conditions, "women of 30 to 50": what each column may still be, and how likely
each code makes the conditions.

Given a code the columns are a forest, so the chance of the conditions under it is a product of sums
over trees, from the leaves to the roots (message passing, Pearl 1988). Rows are then drawn from
exactly what a filter on unconditioned rows would keep, within bins up to the place in the bin;
nothing is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.models.table.domain.bins import Symbols
from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.domain.legality import Relations, close
from pipeline.models.table.domain.lines import line
from pipeline.models.table.draw.decode import Child, Head, Sampler
from pipeline.models.table.draw.prompts import restrict
from pipeline.models.table.fit.edges import Edge
from pipeline.models.table.fit.target import TargetHead
from pipeline.refusal import Refusal

_EMPTY = 1e-12


def sampler(
    names: Sequence[str],
    domains: Mapping[str, Domain],
    symbols: Mapping[str, Symbols],
    table: Mapping[str, np.ndarray],
    found: Relations,
    where: Mapping[str, Any] | None = None,
    targets: Sequence[TargetHead] = (),
    edges: Sequence[Edge] = (),
) -> Sampler:
    """Heads for these conditions. table[name]: float [codes, groups]. `found`: relations between
    whole columns, not yet closed.

    Raises ValueError for an unknown column, or conditions that no legal row can meet.
    """
    where = dict(where or {})
    unknown = sorted(set(where) - set(names))
    if unknown:
        raise Refusal(
            f"where names {', '.join(unknown)}, which the model does not have; it has"
            f" {', '.join(names)}"
        )
    kept, origin = {}, {}
    for name in names:
        whole = np.arange(len(symbols[name].group))
        kept[name], origin[name] = (
            restrict(domains[name], symbols[name], where[name])
            if name in where
            else (symbols[name], whole)
        )
    seen = {(a, b): matrix[np.ix_(origin[a], origin[b])] for (a, b), matrix in found.items()}
    alive, linked = close(
        names, {name: np.ones(len(kept[name].group), bool) for name in names}, seen
    )
    into = {edge.child: edge for edge in edges}
    codes = len(next(iter(table.values())))
    weights = np.ones(codes)
    # what the conditions below say about a column's groups, [codes, groups]
    messages: dict[str, np.ndarray] = {}
    made: dict[str, Head | Child] = {}
    conditioned: dict[str, np.ndarray] = {}
    last = {head.target for head in targets}
    for name in reversed(names):
        q = table[name].astype(np.float64)
        told = q * messages[name] if name in messages else q
        if name in into:
            made[name], message = _child(into[name], kept[name], q, told)
            if name in where or name in messages:
                parent = into[name].parent
                messages[parent] = messages.get(parent, np.ones((1, 1))) * message
            continue
        head, mass = _head(kept[name], told, alive[name])
        made[name] = head
        if name in where:
            weights = weights * mass
            if name in last:
                conditioned[name] = mass
        elif name in messages:
            weights = weights * mass / np.maximum(_head(kept[name], q, alive[name])[1], _EMPTY)
    total = weights.sum()
    code_chances = weights / total if total > 1e-300 else np.full(codes, 1 / codes)
    binding = {
        key: matrix
        for key, matrix in linked.items()
        if not matrix[np.ix_(alive[key[0]], alive[key[1]])].all()
    }
    joined = {name for edge in edges for name in (edge.parent, edge.child)}
    lines = {
        name: line(domains[name], symbols[name], kept[name], origin[name], table[name].mean(0))
        for name in joined
    }
    return Sampler(
        tuple(names), made, code_chances, binding, origin, lines, tuple(targets), conditioned
    )


def _head(kept: Symbols, q: np.ndarray, alive: np.ndarray) -> tuple[Head, np.ndarray]:
    """(the column ready to draw, chance of what is allowed per code). q: [codes, groups]."""
    chances = q[:, kept.group] * (kept.share * alive)
    mass = chances.sum(1, keepdims=True)
    even = alive * np.maximum(kept.share, _EMPTY)  # where a code has no mass on what is allowed
    chances = np.where(mass > _EMPTY, chances / np.maximum(mass, 1e-300), even / even.sum())
    ladder = np.cumsum(chances, 1)
    ladder = ladder / ladder[:, -1:] + np.arange(len(chances))[:, None]
    return Head(kept, chances, ladder.ravel()), mass[:, 0]


def _child(edge: Edge, kept: Symbols, q: np.ndarray, told: np.ndarray) -> tuple[Child, np.ndarray]:
    """(the child ready to draw, message to its parent [codes, groups parent]: chance of the
    conditions given code and group).
    """
    ratio = edge.ratio.astype(np.float64)
    allowed = np.bincount(kept.group, kept.share, minlength=q.shape[1])
    # a code without mass on what is allowed still draws from it
    chances = np.maximum(told * allowed, 1e-30 * (allowed > 0))
    message = (told * allowed) @ ratio.T / np.maximum(q @ ratio.T, 1e-300)
    return Child(edge, kept, chances, np.maximum(ratio, 1e-30) * (allowed > 0)), message
