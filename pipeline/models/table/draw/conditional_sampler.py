"""A sampler under conditions (sex=Female, age=30..50): what each column may still be, and how
likely each latent code makes the conditions.

Given a code the columns are a forest, so the probability of the conditions under it is a product
of sums over trees, from the leaves to the roots (message passing, Pearl 1988). Rows are then drawn
from exactly what a filter on unconditioned rows would leave, within bins up to the place in the
bin; no row is rejected.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.draw_plan import Condition
from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.domain.legality import close
from pipeline.models.table.domain.order import with_order
from pipeline.models.table.domain.quantiles import column_quantiles
from pipeline.models.table.draw.prompts import restrict
from pipeline.models.table.draw.sampler import Sampler
from pipeline.models.table.values.heads import ChildHead, Edge, Head, TargetHead
from pipeline.models.table.values.symbols import Pair, Relations, Symbols
from pipeline.refusal import Refusal

_EMPTY = 1e-12


def conditional_sampler(
    names: Sequence[str],
    domains: Mapping[str, Domain],
    symbols: Mapping[str, Symbols],
    table: Mapping[str, np.ndarray],
    relations: Relations,
    where: Mapping[str, Condition] | None = None,
    targets: Sequence[TargetHead] = (),
    edges: Sequence[Edge] = (),
    orders: Sequence[Pair] = (),
) -> Sampler:
    """Heads for these conditions.

    table[name]: float [codes, groups], each code's probabilities. relations: between whole columns,
    not yet closed. where: as `prompts.restrict` takes it, by column. orders: of the relations those
    that are declared orders of numbers, which conditions cut within a symbol.

    Raises Refusal for an unknown column, or conditions that no legal row can meet.
    """
    where = dict(where or {})
    part, origin = _restrict(names, domains, symbols, where)
    restricted = {
        (a, b): matrix[np.ix_(origin[a], origin[b])] for (a, b), matrix in relations.items()
    }
    restricted = with_order(restricted, domains, part, orders)
    alive, closure = close(
        names, {name: np.ones(len(part[name].group), bool) for name in names}, restricted
    )
    heads, weights, condition_probabilities = _heads(
        names, table, part, alive, where, targets, edges
    )
    total = weights.sum()
    return Sampler(
        tuple(names),
        heads,
        weights / total if total > 1e-300 else np.full(len(weights), 1 / len(weights)),
        _binding(closure, alive),
        origin,
        {
            name: column_quantiles(
                domains[name], symbols[name], part[name], origin[name], table[name].mean(0)
            )
            for name in {name for edge in edges for name in (edge.parent, edge.child)}
        },
        tuple(targets),
        condition_probabilities,
    )


def _binding(closure: Relations, alive: Mapping[str, np.ndarray]) -> Relations:
    """The relations that forbid something of what is left."""
    return {
        key: matrix
        for key, matrix in closure.items()
        if not matrix[np.ix_(alive[key[0]], alive[key[1]])].all()
    }


def _restrict(
    names: Sequence[str],
    domains: Mapping[str, Domain],
    symbols: Mapping[str, Symbols],
    where: Mapping[str, Condition],
) -> tuple[dict[str, Symbols], dict[str, np.ndarray]]:
    """(symbols that the conditions leave of each column, which symbol each came from)."""
    unknown = sorted(set(where) - set(names))
    if unknown:
        raise Refusal(
            f"where names {', '.join(unknown)}, which the model does not have; it has"
            f" {', '.join(names)}"
        )
    part: dict[str, Symbols] = {}
    origin: dict[str, np.ndarray] = {}
    for name in names:
        if name in where:
            part[name], origin[name] = restrict(domains[name], symbols[name], where[name])
        else:
            part[name], origin[name] = symbols[name], np.arange(len(symbols[name].group))
    return part, origin


def _heads(
    names: Sequence[str],
    table: Mapping[str, np.ndarray],
    part: Mapping[str, Symbols],
    alive: Mapping[str, np.ndarray],
    where: Mapping[str, Condition],
    targets: Sequence[TargetHead],
    edges: Sequence[Edge],
) -> tuple[dict[str, Head | ChildHead], np.ndarray, dict[str, np.ndarray]]:
    """(heads by column; P(conditions | code), float64 [codes]; the same of each target's own
    condition).

    part: symbols that the conditions leave. alive: bool [symbols], those of them that the
    implications leave.
    """
    edge_into = {edge.child: edge for edge in edges}
    heads: dict[str, Head | ChildHead] = {}
    condition_probabilities: dict[str, np.ndarray] = {}
    weights = np.ones(len(next(iter(table.values()))))
    # what the conditions below say about a column's groups, [codes, groups]
    messages: dict[str, np.ndarray] = {}
    target_names = {head.target for head in targets}
    for name in reversed(names):
        q = table[name].astype(np.float64)
        likelihood = q * messages[name] if name in messages else q
        if name in edge_into:
            heads[name], message = _child(edge_into[name], part[name], q, likelihood, alive[name])
            if name in where or name in messages:
                parent = edge_into[name].parent
                messages[parent] = messages.get(parent, np.ones((1, 1))) * message
            continue
        heads[name], mass = _head(part[name], likelihood, alive[name])
        if name in where:
            weights = weights * mass
            if name in target_names:
                condition_probabilities[name] = mass
        elif name in messages:
            unconditional = _head(part[name], q, alive[name])[1]
            weights = weights * mass / np.maximum(unconditional, _EMPTY)
    return heads, weights, condition_probabilities


def _head(part: Symbols, q: np.ndarray, alive: np.ndarray) -> tuple[Head, np.ndarray]:
    """(the column ready to draw, probability of what is allowed per code). q: [codes, groups]."""
    probabilities = q[:, part.group] * (part.share * alive)
    mass = probabilities.sum(1, keepdims=True)
    even = alive * np.maximum(part.share, _EMPTY)  # where a code has no mass on what is allowed
    probabilities = np.where(
        mass > _EMPTY, probabilities / np.maximum(mass, 1e-300), even / even.sum()
    )
    cumulative = np.cumsum(probabilities, 1)
    cumulative = cumulative / cumulative[:, -1:] + np.arange(len(probabilities))[:, None]
    return Head(part, probabilities, cumulative.ravel()), mass[:, 0]


def _child(
    edge: Edge, part: Symbols, q: np.ndarray, likelihood: np.ndarray, alive: np.ndarray
) -> tuple[ChildHead, np.ndarray]:
    """(the child ready to draw, message to its parent [codes, groups parent]: probability of the
    conditions given code and group).
    """
    ratio = edge.ratio.astype(np.float64)
    allowed = np.bincount(part.group, part.share * alive, minlength=q.shape[1])
    # a code without mass on what is allowed still draws from it
    weights = np.maximum(likelihood * allowed, 1e-30 * (allowed > 0))
    message = (likelihood * allowed) @ ratio.T / np.maximum(q @ ratio.T, 1e-300)
    kept_ratio = np.maximum(ratio, 1e-30) * (allowed > 0)
    return ChildHead(edge, part, weights, kept_ratio, alive), message
