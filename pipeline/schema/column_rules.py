"""What a declaration says about several static columns at once: implications, order, equality."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from pipeline.schema.columns import ColumnReader
from pipeline.schema.document import Path_
from pipeline.schema.fields import MOST_TOGETHER
from pipeline.schema.values import Column, Implication

# in which a copy must be declared as the column it copies
_OF_DOMAIN = ("kind", "categories", "lower", "upper", "decimals", "atoms", "nullable")


class RuleReader(ColumnReader):
    """Reads rules between static columns."""

    def implications(self, columns: Mapping[str, Column]) -> tuple[Implication, ...]:
        implications = []
        order = {name: index for index, name in enumerate(columns)}
        for path, entry in self.entries(("implications",)):
            values = dict(entry)
            ready = {"allowed": self.relation(path, values)}
            is_ours = "allowed_from" not in values
            for field in ("allowed", "allowed_from"):
                values.pop(field, None)
            implication = self.build(Implication, path, values, **ready)
            if implication is None:
                continue
            unknown = [
                field for field in ("given", "then") if getattr(implication, field) not in columns
            ]
            for field in unknown:
                self.document.problem(
                    (*path, field), f"no static column named {getattr(implication, field)!r}"
                )
            if order.get(implication.given, 0) > order.get(implication.then, 0):
                self.document.problem(
                    path,
                    f"{implication.given} must be declared before {implication.then}: parents are"
                    " drawn first",
                )
            if not unknown:
                self._check_implication(path, implication, columns, is_ours=is_ours)
            implications.append(implication)
        return tuple(implications)

    def _check_implication(
        self, path: Path_, rule: Implication, columns: Mapping[str, Column], *, is_ours: bool
    ) -> None:
        """is_ours: its values stand in the declaration; a shared relation may know more of them."""
        cause, then = columns[rule.given], columns[rule.then]
        if rule.given == rule.then:
            self.document.problem(path, "given and then are one column")
        if not cause.is_categorical:
            self.document.problem(
                (*path, "given"),
                f"{rule.given} is {cause.kind}: an implication starts from categories",
            )
            return
        if not rule.allowed:
            self.document.warn(path, "allows nothing and forbids nothing: add values, or drop it")
        for value, allowed in rule.allowed.items():
            place = (*path, "allowed", value)
            if is_ours and value not in cause.categories:
                self.document.problem(place, _unknown(value, cause))
            possible = [token for token in allowed if _can_be(then, token)]
            if is_ours:
                for token in allowed:
                    if token is not None and token not in possible:
                        self.document.problem(place, _unknown(token, then))
            if not possible and value in cause.categories:
                self.document.problem(
                    place,
                    f"{value} allows nothing that {rule.then} can be: it could never be drawn",
                )

    def orders(self, columns: Mapping[str, Column]) -> tuple[tuple[str, ...], ...]:
        """Chains of columns whose values never fall from one to the next."""
        chains = self._groups("order", columns)
        for path, chain in chains:
            kinds = {columns[name].kind for name in chain}
            if not all(columns[name].is_numeric for name in chain) or len(kinds) > 1:
                self.document.problem(
                    path, "must name numbers only, or dates only: other kinds have no common order"
                )
                continue
            for low, high in combinations(chain, 2):
                least, most = columns[low].lower, columns[high].upper
                if least is not None and most is not None and least > most:
                    self.document.problem(
                        path, f"{low} can never be at most {high}: their bounds lie apart"
                    )
        sound = tuple(chain for _, chain in chains)
        self._check_places(chains, columns)
        steps = [(a, b) for chain in sound for a, b in combinations(chain, 2)]
        if _has_circle(steps):
            self.document.problem(
                ("order",), "goes in a circle: columns that are the same stand under `equal`"
            )
        return sound

    def _check_places(
        self, chains: Sequence[tuple[Path_, tuple[str, ...]]], columns: Mapping[str, Column]
    ) -> None:
        """Between two columns a third has room only where it can take their values."""
        names = [name for _, chain in chains for name in chain]
        for path, chain in chains:
            places = {columns[name].decimals for name in chain if columns[name].is_numeric}
            is_pair = len(chain) == 2 and all(names.count(name) == 1 for name in chain)
            if len(places) > 1 and not is_pair:
                self.document.problem(
                    path,
                    "orders more than two columns, whose decimals must be the same: give all of"
                    f" them decimals: {max(places)}",
                )

    def equals(self, columns: Mapping[str, Column]) -> tuple[tuple[str, ...], ...]:
        """Groups of columns that are copies of the first."""
        groups = self._groups("equal", columns)
        names = [name for _, group in groups for name in group]
        for path, group in groups:
            for name in group[1:]:
                differing = [
                    field
                    for field in _OF_DOMAIN
                    if getattr(columns[name], field) != getattr(columns[group[0]], field)
                ]
                if differing:
                    self.document.problem(
                        path,
                        f"{name} is declared with other {', '.join(differing)} than {group[0]}: a"
                        " copy has the same",
                    )
        if twice := sorted({name for name in names if names.count(name) > 1}):
            self.document.problem(
                ("equal",), f"stands in two groups: {', '.join(twice)}; make it one group"
            )
        return tuple(group for _, group in groups)

    def relations(self, columns: Mapping[str, Column]) -> tuple[tuple[str, ...], ...]:
        """Pairs and triples of columns that belong together."""
        groups = self._groups("related", columns)
        before: set[frozenset[str]] = set()
        for path, names in groups:
            if len(names) > MOST_TOGETHER:
                self.document.problem(
                    path,
                    f"names {len(names)} columns: at most {MOST_TOGETHER} are looked at together,"
                    " so name the pairs and triples in it",
                )
            for name in names:
                if not columns[name].is_modelled:
                    self.document.problem(path, f"{name} is not modelled: nothing is drawn for it")
            if frozenset(names) in before:
                self.document.problem(path, f"{', '.join(names)}: named twice")
            before.add(frozenset(names))
        return tuple(names for _, names in groups)

    def check_copies(
        self, equals: Sequence[Sequence[str]], others: Mapping[str, Sequence[str]]
    ) -> None:
        """Other rules name the column that is copied, not its copies. others: field -> columns."""
        first = {name: group[0] for group in equals for name in group[1:]}
        for field, names in others.items():
            for name in names:
                if name in first:
                    self.document.problem(
                        (field,), f"{name} is a copy of {first[name]} (`equal`): name {first[name]}"
                    )

    def _groups(
        self, field: str, columns: Mapping[str, Column]
    ) -> list[tuple[Path_, tuple[str, ...]]]:
        """The groups of columns under `field`, each with its path: a list of lists, or one list."""
        value: Any = self.document.value.get(field)
        if value is None:
            return []
        if not isinstance(value, list):
            self.document.problem((field,), f"must be a list of columns, is {value!r}")
            return []
        is_single = bool(value) and not any(isinstance(item, list) for item in value)
        groups = []
        for index, entry in enumerate([value] if is_single else value):
            path = (field,) if is_single else (field, index)
            names = self.distinct(path, entry)
            unknown = [name for name in names if name not in columns]
            for name in unknown:
                self.document.problem(path, f"no static column named {name!r}")
            if len(names) < 2:
                self.document.problem(path, "must name at least two columns")
            elif not unknown and len(set(names)) == len(names):
                groups.append((path, names))
        return groups


def _unknown(value: str, column: Column) -> str:
    if column.is_numeric:
        listing = "its atoms are " + (", ".join(f"{atom:g}" for atom in column.atoms) or "none")
    else:
        listing = "there are " + ", ".join(column.categories[:12])
        listing += ", ..." if len(column.categories) > 12 else ""
    return f"{value!r} is no value of {column.name}: {listing}"


def _can_be(column: Column, token: str | None) -> bool:
    """Whether an implication can leave this value of the column: a category, an atom, missing."""
    if token is None:
        return column.nullable
    if column.is_categorical:
        return token in column.categories
    try:
        return float(token) in column.atoms
    except ValueError:
        return False


def _has_circle(steps: Sequence[tuple[str, str]]) -> bool:
    """Whether following the steps can lead back."""
    above: dict[str, set[str]] = {}
    for low, high in steps:
        above.setdefault(low, set()).add(high)
    while leaves := {name for names in above.values() for name in names} - set(above):
        above = {low: names - leaves for low, names in above.items()}
        above = {low: names for low, names in above.items() if names}
    return bool(above)
