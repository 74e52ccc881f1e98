"""Hundreds of mutated files put through ingest: each is read or refused in words, nothing is lost
uncounted, and who was not touched is as before. docs/ingest.md has the table.
"""

from __future__ import annotations

import gzip
import json
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xlsxwriter
from ingest_cases import Bench, Ingested, participant, visit, write_cohort

from pipeline.refusal import Refusal

N_PATIENTS, N_MUTATIONS = 12, 200  # of each format
VISITS = "PRISM_visits_cleaned"
ODD = [
    "", '"', '""', ",", "\r", "\ufeff", "\0", "é", "1e400", "-0", "NaN", "9" * 30, "2013-02-30",
    "0000-00-00", "99999-01-01", "01/02/2013", "2013-02-01T00:00:00+01:00", "a" * 300_000,
]  # fmt: skip
Mutation = Callable[[random.Random, list[bytes]], list[bytes]]  # of the lines behind the header


def one(rng: random.Random, lines: list[bytes]) -> int:
    return rng.randrange(len(lines))


def odd_cell(rng: random.Random, lines: list[bytes]) -> list[bytes]:
    place = one(rng, lines)
    cells = lines[place].split(b",")
    cells[rng.randrange(len(cells))] = rng.choice(ODD).encode()
    return [*lines[:place], b",".join(cells), *lines[place + 1 :]]


def changed_byte(rng: random.Random, lines: list[bytes]) -> list[bytes]:
    place = one(rng, lines)
    line = bytearray(lines[place])
    line[rng.randrange(len(line))] = rng.randrange(256)
    return [*lines[:place], bytes(line), *lines[place + 1 :]]


def shorter_line(rng: random.Random, lines: list[bytes]) -> list[bytes]:
    place = one(rng, lines)
    return [*lines[:place], lines[place][: rng.randrange(len(lines[place]))], *lines[place + 1 :]]


def line_twice(rng: random.Random, lines: list[bytes]) -> list[bytes]:
    place = one(rng, lines)
    return [*lines[: place + 1], *lines[place:]]


def no_line(rng: random.Random, lines: list[bytes]) -> list[bytes]:
    place = one(rng, lines)
    return [*lines[:place], *lines[place + 1 :]]


def line_of_dirt(rng: random.Random, lines: list[bytes]) -> list[bytes]:
    place = one(rng, lines)
    dirt = rng.randbytes(rng.randrange(1, 60)).replace(b"\n", b"").replace(b",", b"")
    return [*lines[:place], dirt, *lines[place:]]


def open_quote(rng: random.Random, lines: list[bytes]) -> list[bytes]:
    place = one(rng, lines)
    at = rng.randrange(len(lines[place]))
    return [*lines[:place], lines[place][:at] + b'"' + lines[place][at:], *lines[place + 1 :]]


LINES: tuple[Mutation, ...] = (
    odd_cell, changed_byte, shorter_line, line_twice, no_line, line_of_dirt, open_quote,
)  # fmt: skip


def source(folder: Path) -> Path:
    people = [participant(n) for n in range(1, N_PATIENTS + 1)]
    visits = [
        row
        for n in range(1, N_PATIENTS + 1)
        for row in (visit(n, "2012-01-10", "Enrollment"), visit(n, "2012-04-10"))
    ]
    return write_cohort(folder, people, visits)


def mutated_csv(rng: random.Random, folder: Path, zipped: bool) -> str:
    """Mutates one file of a fresh source; the kind of mutation."""
    path = rng.choice(sorted(folder.iterdir()))
    header, *lines = path.read_bytes().rstrip(b"\n").split(b"\n")
    mutation = rng.choice(LINES)
    content = b"\n".join([header, *mutation(rng, lines)]) + b"\n"
    kind = mutation.__name__
    if rng.random() < 0.1:
        kind, content = "changed bytes anywhere", changed_bytes(rng, content)
    path.write_bytes(content)
    if zipped:
        packed = gzip.compress(content)
        if rng.random() < 0.1:
            kind, packed = "damaged gzip", changed_bytes(rng, packed)
        path.unlink()
        path.with_name(path.name + ".gz").write_bytes(packed)
    return kind


def changed_bytes(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.randrange(1, 6)):
        changed[rng.randrange(len(changed))] = rng.randrange(256)
    return bytes(changed[: rng.randrange(len(changed) // 2, len(changed) + 1)])


def mutated_parquet(rng: random.Random, folder: Path) -> str:
    """Both tables as Parquet, one of them with odd stored values, another type, or damage."""
    kind = rng.choice(["odd text", "odd date", "odd time", "no utf8", "other type", "damage"])
    chosen = rng.choice(sorted(path.stem for path in folder.iterdir()))
    for path in sorted(folder.iterdir()):
        table = pl.read_csv(path, infer_schema=False).to_arrow()
        if path.stem == chosen:
            place = rng.randrange(table.num_columns)
            table = table.set_column(
                place, table.column_names[place], stored(rng, kind, table.column(place))
            )
        pq.write_table(table, path.with_suffix(".parquet"))
        path.unlink()
        if path.stem == chosen and kind == "damage":
            damaged = path.with_suffix(".parquet")
            damaged.write_bytes(changed_bytes(rng, damaged.read_bytes()))
    return kind


def stored(rng: random.Random, kind: str, column: pa.ChunkedArray) -> pa.Array:
    values = column.to_pylist()
    place = rng.randrange(len(values))
    if kind == "odd text":
        values[place] = rng.choice(ODD)
        return pa.array(values, pa.string())
    if kind == "odd date":
        days = [rng.randrange(-(2**31), 2**31) for _ in values]
        return pa.array(days, pa.int32()).cast(pa.date32())
    if kind == "odd time":
        unit = rng.choice([pa.timestamp("us"), pa.timestamp("ms", "UTC"), pa.date64()])
        return pa.array([rng.randrange(-(2**62), 2**62) for _ in values], pa.int64()).cast(unit)
    if kind == "no utf8":
        content = pa.array([(v or "").encode() + b"\xff\xfe" for v in values], pa.binary())
        return pa.Array.from_buffers(pa.string(), len(values), content.buffers())
    if kind == "other type":
        return rng.choice(
            [
                pa.array([float("nan")] * len(values)),
                pa.array([True] * len(values)),
                pa.nulls(len(values)),
                pa.array([rng.random() * 10 ** rng.randrange(40) for _ in values]),
                pa.array([[1]] * len(values)),
            ]
        )
    return pa.array(values, pa.string())


ODD_JSON = [
    "null", "true", "1e400", "-0", "NaN", "[]", "{}", '{"a": {"b": 1}}', '"\\u0000"', '"\\ud800"',
    "[" * 5000, "1" * 5000, '"x', '"a": 1', "", '"' + "a" * 300_000 + '"',
]  # fmt: skip


def odd_value(rng: random.Random, lines: list[bytes]) -> list[bytes]:
    place = one(rng, lines)
    row = json.loads(lines[place])
    key = rng.choice([*row, "another"])
    row[key] = "\n"
    line = json.dumps(row).replace('"\\n"', rng.choice(ODD_JSON)).encode()
    return [*lines[:place], line, *lines[place + 1 :]]


def mutated_json(rng: random.Random, folder: Path) -> str:
    """Both tables as JSON lines, one of them with a changed line or changed bytes."""
    mutation = rng.choice([odd_value, *(one for one in LINES if one is not odd_cell)])
    kind = mutation.__name__
    chosen = rng.choice(sorted(folder.iterdir()))
    for path in sorted(folder.iterdir()):
        rows = pl.read_csv(path, infer_schema=False).iter_rows(named=True)
        lines = [json.dumps(row).encode() for row in rows]
        content = b"\n".join(mutation(rng, lines) if path == chosen else lines) + b"\n"
        if path == chosen and rng.random() < 0.1:
            kind, content = "changed bytes anywhere", changed_bytes(rng, content)
        path.with_suffix(".jsonl").write_bytes(content)
        path.unlink()
    return kind


def mutated_workbook(rng: random.Random, folder: Path) -> str:
    """Both tables as workbooks, one of them with an odd cell, a cell too many, or damage."""
    kind = rng.choice(["odd cell", "cell too many", "blank row", "formula", "damage"])
    chosen = rng.choice(sorted(folder.iterdir()))
    for path in sorted(folder.iterdir()):
        rows = pl.read_csv(path, infer_schema=False)
        with xlsxwriter.Workbook(path.with_suffix(".xlsx"), {"strings_to_formulas": False}) as book:
            sheet = book.add_worksheet()
            sheet.write_row(0, 0, rows.columns)
            for number, row in enumerate(rows.iter_rows(), 1):
                sheet.write_row(number, 0, row)
            if path == chosen:
                place = rng.randrange(1, rows.height + 1), rng.randrange(rows.width)
                if kind == "odd cell":
                    odd = rng.choice([*(text[:30_000] for text in ODD), -1, 0.5, 2.0**70, True])
                    sheet.write(*place, odd)
                elif kind == "cell too many":
                    sheet.write(place[0], rows.width + 1, "more")
                elif kind == "blank row":
                    sheet.write_row(place[0], 0, [""] * rows.width)
                elif kind == "formula":
                    sheet.write_formula(*place, "=1/0", None, rng.choice(["#DIV/0!", "", 7]))
        path.unlink()
        if path == chosen and kind == "damage":
            damaged = path.with_suffix(".xlsx")
            damaged.write_bytes(changed_bytes(rng, damaged.read_bytes()))
    return kind


MUTATED: dict[str, Callable[[random.Random, Path], str]] = {
    "csv": lambda rng, folder: mutated_csv(rng, folder, zipped=False),
    "gzip": lambda rng, folder: mutated_csv(rng, folder, zipped=True),
    "json lines": mutated_json,
    "workbook": mutated_workbook,
    "parquet": mutated_parquet,
}


def untouched(base: Ingested, done: Ingested) -> int:
    """How many patients are as without the mutation, statics and events."""
    same = base.patients.join(done.patients, on=base.patients.columns, how="semi", nulls_equal=True)
    return same.height


@pytest.mark.long
@pytest.mark.parametrize("form", MUTATED)
def test_no_mutation_crashes_ingest_or_loses_a_row_uncounted(
    bench: Bench, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`bench.ingest` asserts that rows in equal rows out and rows counted."""
    base = bench.ingest("uganda_malaria", source(tmp_path / "base"))
    assert base.patients.height == N_PATIENTS
    outcomes: Counter[tuple[str, str]] = Counter()
    for seed in range(N_MUTATIONS):
        rng, folder = random.Random(f"{form} {seed}"), source(tmp_path / f"{form}{seed}")
        kind = MUTATED[form](rng, folder)
        try:
            done = bench.ingest("uganda_malaria", folder)
        except Refusal:
            outcomes[kind, "refused in words"] += 1
            continue
        lost = N_PATIENTS - untouched(base, done)
        outcomes[kind, "all kept" if not lost else "dropped and counted"] += 1
        if form != "parquet" and kind not in ("changed bytes anywhere", "damaged gzip", "damage"):
            # two: a mutated id may name another patient, whose rows then contradict themselves
            assert lost <= 2, (seed, kind, lost)
    with capsys.disabled():
        for (kind, outcome), n in sorted(outcomes.items()):
            print(f"| {form} | {kind.replace('_', ' ')} | {outcome} | {n} |")  # noqa: T201
    assert sum(outcomes.values()) == N_MUTATIONS
