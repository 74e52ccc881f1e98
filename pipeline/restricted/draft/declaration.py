"""A draft as the text of a YAML file."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Iterator, Sequence

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from pipeline.restricted.draft.ends import pairs_of
from pipeline.restricted.draft.entries import column_entries, population_entry, table_entry
from pipeline.restricted.draft.events_entry import events_entry, static_entries
from pipeline.restricted.draft.log import LogGuess, begin_with_day_0, leave_intervals_open, log_of
from pipeline.restricted.draft.relations import suggestions
from pipeline.restricted.draft.tables import TableGuess, linked, open_files
from pipeline.restricted.draft.yaml_parts import Statement, flow, mapping
from pipeline.schema.review import REVIEW

_WIDTH = 120
_COLUMN_INDENT = 6
_TOP = """RESTRICTED: a draft from the rows of {files}.
It names values of patients, in comments, too: keep it where the rows may lie, until nothing of it
says `review:` and no comment is left. Then it is a declaration, and public.

What to do (docs/your-data.md takes the walk):
1. Whatever stands under `review:` was read from rows. Write it as a public source gives it (a
   questionnaire, a protocol, a code list), name that `source:`, and take `review:` out. A value
   is never declared because it was seen. For a number you may write `learn: true` and `decimals:`
   instead: where its values lie is then learned under the release's charge.
2. Kinds, roles, keys, separators and formats are guesses of how the files are written. Correct
   them where they are wrong.
3. Take out these comments, the others, and the `review:` at the top.
4. `python -m pipeline dataset check {name} --source PATH` says what is left to do."""
_PUBLIC_TOP = """A draft from the published rows of {files}.
Its domains are read from the published file itself, which holds for these rows only. Kinds, roles,
keys and formats are guesses: correct them where they are wrong.
`python -m pipeline dataset check {name} --source PATH` says what is left to do."""


def draft(paths: Sequence[str], statement: Statement, *, pathways: bool = False) -> str:
    """The declaration to review, for the tables in these files. pathways: of one row per patient,
    times with a status are events (`log_of`). Raises Refusal for a file that
    cannot be read, or tables that do not hang together.

    Restricted: it holds values of rows, unless they were published.
    """
    tables = linked(open_files(paths))
    log = log_of(tables, pathways=pathways)
    if log is not None:
        begin_with_day_0(log)
        leave_intervals_open(log)
    chosen = [table for table in tables if log is None or table not in log.others]
    declaration = _top(statement)
    declaration["layout"] = "table" if log is None else "log"
    declaration["population"] = population_entry(statement, _patients(chosen))
    entries, names = CommentedMap(), {}
    for table in chosen:
        columns, names[table.name] = column_entries(
            table, statement, has_events=log is not None, indent=_COLUMN_INDENT
        )
        once = log.once if log is not None else None
        entries[table.name] = table_entry(table, columns, names[table.name], once)
    declaration["tables"] = entries
    if log is not None:
        declaration["patients"] = mapping(columns=static_entries(log, names))
        declaration["events"] = events_entry(log, names, entries, statement)
    return _text(declaration, [*_comments(chosen, log, statement)], tables, statement)


def _top(statement: Statement) -> CommentedMap:
    top = mapping(dataset=statement.name, title=statement.name)
    if statement.published is None:  # the last mark that goes
        top[REVIEW] = flow({"comments": "take them out"})
    top["source"] = statement.published
    if statement.published is None:
        top.yaml_add_eol_comment("who collected these rows, when and how", "source")
    top["public"] = statement.kind != "confidential"
    return top


def _patients(tables: Sequence[TableGuess]) -> int:
    """How many there are about."""
    table = tables[0]
    if table.patient is None or table.is_main:
        return table.n_rows
    cells = table.cells[table.patient]
    return len(cells.times) if cells.is_whole else round(cells.n_full / cells.repetition)


def _comments(
    tables: Sequence[TableGuess], log: LogGuess | None, statement: Statement
) -> Iterator[str]:
    """What is not declared, but worth a look."""
    for table in tables:
        where = f"{table.name}: "
        if table.n_ragged:
            yield f"{where}{table.n_ragged} rows have more or fewer cells than the header"
        if table.source.other_sheets:
            yield f"{where}other sheets are left out: {', '.join(table.source.other_sheets)}"
        if table.patient is None and table.through is None:
            yield (
                f"{where}no column names a patient, so each row is one. If a person may have"
                " several rows, say which column tells (`patient:`)"
            )
        elif log is None and not table.is_main and table.patient is not None:
            yield (
                f"{where}{table.patient} repeats, and no column tells when rows were: a table has"
                " one row per patient, so `check` will drop the others"
            )
        elif log is None and (pairs := pairs_of(table)):
            times = ", ".join(f"{one.time} with {one.status}" for one in pairs)
            yield f"{where}{times}: times of events? `draft --pathways` makes pathways of them"
        for line in suggestions(table):
            yield f"{where}true of the rows looked at; declare it if it must be so: {line}"
    if log is not None and not log.rows:
        yield "times are in days, where their names say nothing else; rename the types of events"
    if log is not None and log.once:
        yield (
            f"{', '.join(log.once)}: the same in all rows of a patient, of those looked at. If they"
            " must be so by what they mean, they stay under `once`; else take them out there"
        )
    for table in () if log is None else log.others:
        yield f"{table.name} is left out: its rows are neither patients nor dated rows of patients"


def _text(
    declaration: CommentedMap,
    comments: list[str],
    tables: Sequence[TableGuess],
    statement: Statement,
) -> str:
    files = ", ".join(table.source.path.name for table in tables)
    top = _PUBLIC_TOP if statement.published else _TOP
    lines = top.format(files=files, name=statement.name).splitlines()
    if comments:
        lines += ["", "Worth a look:"]
        for comment in comments:
            lines += textwrap.wrap(
                f"- {comment}", _WIDTH - 2, subsequent_indent="  ", break_on_hyphens=False
            )
    yaml = YAML()
    yaml.width = _WIDTH
    stream = io.StringIO()
    yaml.dump(declaration, stream)
    return "".join(f"# {line}".rstrip() + "\n" for line in lines) + stream.getvalue()
