"""Declared implications as relations between what two columns may be drawn as; closed so that
drawing in order meets no dead end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.models.table.domain.encode import Domain
from pipeline.models.table.values.symbols import Relations, Symbols
from pipeline.refusal import Refusal
from pipeline.schema.values import Implication


def check_implications(domains: Mapping[str, Domain], implications: Sequence[Implication]) -> None:
    """Raises Refusal for an implication that cannot hold by construction: all of them at
    once.
    """
    problems = []
    order = {name: place for place, name in enumerate(domains)}
    for rule in implications:
        where = f"implication {rule.given} -> {rule.then}"
        if order[rule.given] >= order[rule.then]:
            problems.append(f"{where}: {rule.given} must be declared before {rule.then}")
        if domains[rule.given].is_numeric:
            problems.append(
                f"{where}: {rule.given} is numeric; an implication starts from categories"
            )
        for value, allowed in rule.allowed.items():
            if not any(_is_declared(domains[rule.then], token) for token in allowed):
                problems.append(f"{where}: {value} allows nothing that {rule.then} can be")
    if problems:
        raise Refusal("; ".join(problems))


def _is_declared(domain: Domain, token: str | None) -> bool:
    if token is None:
        return bool(domain.column.nullable)
    if domain.is_numeric:
        return any(float(token) == atom for atom in domain.atoms)
    return token in domain.column.categories


def relations(
    domains: Mapping[str, Domain],
    symbols: Mapping[str, Symbols],
    implications: Sequence[Implication],
) -> Relations:
    """Which pairs of symbols the implications allow, bool [symbols given, symbols then] by pair of
    columns; several implications between two columns are intersected.
    """
    matrices: Relations = {}
    for rule in implications:
        labels = domains[rule.given].labels()
        matrix = np.ones((len(labels), len(symbols[rule.then].group)), bool)
        for place, label in enumerate(labels):
            if label is not None and label in rule.allowed:
                matrix[place] = _allowed_symbols(
                    domains[rule.then], symbols[rule.then], rule.allowed[label]
                )
        key = (rule.given, rule.then)
        matrices[key] = matrices[key] & matrix if key in matrices else matrix
    return matrices


def _allowed_symbols(domain: Domain, symbols: Symbols, allowed: Sequence[str | None]) -> np.ndarray:
    if not domain.is_numeric:
        values = set(allowed)
        return np.array([label in values for label in domain.labels()])
    atoms = {
        place
        for place, atom in enumerate(domain.atoms)
        if any(t is not None and float(t) == atom for t in allowed)
    }
    return np.isin(symbols.atom, list(atoms)) | (symbols.missing & (None in allowed))


def close(
    order: Sequence[str], alive: Mapping[str, np.ndarray], whole: Relations
) -> tuple[dict[str, np.ndarray], Relations]:
    """(alive, relations) after constraint propagation: a value stays only if every related column
    has a partner for it, and two parents of one child are related to each other (path consistency,
    Mackworth 1977).

    order: columns as declared. alive[name]: bool [symbols], what may be drawn before. whole:
    relations of those symbols.

    Raises Refusal where nothing is left: the conditions contradict the declaration.
    """
    place = {name: index for index, name in enumerate(order)}
    alive = {name: mask.copy() for name, mask in alive.items()}
    closure = {
        key: matrix & alive[key[0]][:, None] & alive[key[1]][None, :]
        for key, matrix in whole.items()
    }
    changed = True
    while changed:
        changed = _prune(alive, closure)
        for name in {name for key in closure for name in key}:
            changed |= _relate_neighbours(name, place, alive, closure)
    for name, mask in alive.items():
        if not mask.any():
            raise Refusal(
                f"no value of {name} is left under these conditions and the declared implications"
            )
    return alive, closure


def _prune(alive: dict[str, np.ndarray], closure: Relations) -> bool:
    changed = False
    for (earlier, later), matrix in closure.items():
        for name, mask in ((earlier, matrix.any(1)), (later, matrix.any(0))):
            if (alive[name] & ~mask).any():
                alive[name] &= mask
                changed = True
    for (earlier, later), matrix in closure.items():
        matrix &= alive[earlier][:, None] & alive[later][None, :]
    return changed


def _relate_neighbours(
    name: str, place: Mapping[str, int], alive: Mapping[str, np.ndarray], closure: Relations
) -> bool:
    """Relates the columns that share `name`: values without a common partner in it cannot stand
    together.
    """
    sides = {
        a if b == name else b: matrix if b == name else matrix.T
        for (a, b), matrix in closure.items()
        if name in (a, b)
    }
    others = sorted(sides, key=place.__getitem__)
    changed = False
    for index, earlier in enumerate(others):
        for later in others[index + 1 :]:
            together = (sides[earlier].astype(np.float32) @ sides[later].T.astype(np.float32)) > 0
            full = alive[earlier][:, None] & alive[later][None, :]
            before = closure.get((earlier, later), full)
            after = before & together
            if (after != before).any() or (
                (earlier, later) in closure and (after != closure[(earlier, later)]).any()
            ):
                closure[(earlier, later)] = after
                changed = True
    return changed
