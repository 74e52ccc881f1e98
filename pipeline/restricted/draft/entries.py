"""Population, tables and columns of a draft as mappings of YAML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ruamel.yaml.comments import CommentedMap

from pipeline.population_limits import LARGEST_DELTA, largest_delta
from pipeline.restricted.draft.guesses import Facts, Guess
from pipeline.restricted.draft.tables import TableGuess
from pipeline.restricted.draft.yaml_parts import (
    Statement,
    flow,
    listing,
    mapping,
    marked,
    rounded,
)
from pipeline.schema.names import static_fault
from pipeline.schema.review import PUBLIC_ROWS, REVIEW

_LINES_DEEPER = 2  # blanks of YAML's indentation
_BUDGET = {"public": (10.0, 30.0), "simulated": (10.0, 30.0), "confidential": (3.0, 10.0)}
_READ_AS_IS = ("utf-8", "latin-1")


def column_entry(name: str, guess: Guess, statement: Statement) -> CommentedMap:
    entry = mapping(kind=guess.kind, role=None if guess.is_modelled else guess.role)
    if guess.header != name:
        entry["header"] = guess.header
    entry.update(guess.form)
    facts = guess.facts
    if guess.role == "rebuilt":
        entry["rule"] = "constant: the one declared category"
    if guess.role in ("carried", "key"):
        facts = {}
    if guess.role == "carried":
        entry["nullable"] = True
    entry = marked(entry, facts, statement)
    if facts and statement.published:
        entry["source"] = f"{PUBLIC_ROWS}: {statement.published}"
    if set(entry) <= {"kind", "role", "nullable"}:
        entry.fa.set_flow_style()
    return entry


def column_entries(
    table: TableGuess, statement: Statement, *, has_events: bool, indent: int
) -> tuple[CommentedMap, dict[str, str]]:
    """(the columns with their notes as comments, their names here -> in the declaration)."""
    columns = CommentedMap()
    names: dict[str, str] = {}
    for name, guess in table.columns.items():
        new = name
        is_ours = static_fault(name, has_events=has_events) and name != table.patient
        if is_ours or (has_events and name == "seq"):
            new = f"{name.replace(' ', '_')}_in_source"
        names[name] = new
        columns[new] = column_entry(new, guess, statement)
        if guess.notes:
            columns.yaml_set_comment_before_after_key(
                new, before="\n".join(guess.notes), indent=indent
            )
    return columns, names


def table_entry(
    table: TableGuess,
    columns: CommentedMap,
    names: Mapping[str, str],
    once: Sequence[str] | None = None,
) -> CommentedMap:
    """once: of one long table, the columns that say the same in every row of a patient."""
    source, patient = table.source, table.patient
    entry = mapping(file=source.stem)
    if source.separator != "," and source.format == "csv":
        entry["separator"] = source.separator
    if source.encoding not in _READ_AS_IS:
        entry["encoding"] = source.encoding
    if source.sheet is not None and source.sheet != source.stem:
        entry["sheet"] = source.sheet
    if table.has_line_breaks and source.format == "csv":
        entry["line_breaks"] = True
    if table.is_main and patient is not None:
        entry["key"] = listing([names[patient]])
    if patient is not None:
        entry["patient"] = names[patient]
    elif table.through is not None:
        entry["through"] = listing([table.through[0], names[table.through[1]]])
    if once is not None:
        entry["once"] = listing([names[name] for name in once])
    if table.ignore:
        entry["ignore"] = listing(table.ignore)
    entry["columns"] = columns
    return entry


def population_entry(statement: Statement, n_patients: int) -> CommentedMap:
    """The budget's account. About how many people there are is a person's word, for all noise is
    sized by it.
    """
    epsilon, ceiling = _BUDGET[statement.kind]
    entry = mapping(name=statement.name, universe=statement.universe, kind=statement.kind)
    facts: Facts = {}
    if statement.universe is None:
        facts["universe"] = "who these people are, in words"
    size = statement.size or (rounded(n_patients) if statement.published else None)
    if size is None:
        facts["nominal_size"] = rounded(n_patients)
    else:
        entry["nominal_size"] = size
    entry["epsilon"] = epsilon
    # where the size is still a fact of rows, nothing follows from it: the reader says what is left
    entry["delta"] = LARGEST_DELTA if size is None else largest_delta(size)
    entry["ceiling_epsilon"] = ceiling
    if facts:
        entry[REVIEW] = flow(facts)
    return entry
