"""Hundreds of mutated files put through ingest: each is read or refused in words, nothing is lost
uncounted, and who was not touched is as before. docs/ingest.md has the table.
"""

from __future__ import annotations

import gzip
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
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


def untouched(base: Ingested, done: Ingested) -> int:
    """How many patients are as without the mutation, statics and events."""
    same = base.patients.join(done.patients, on=base.patients.columns, how="semi", nulls_equal=True)
    return same.height


@pytest.mark.long
@pytest.mark.parametrize("form", ["csv", "gzip", "parquet"])
def test_no_mutation_crashes_ingest_or_loses_a_row_uncounted(
    bench: Bench, tmp_path: Path, form: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """`bench.ingest` asserts that rows in equal rows out and rows counted."""
    base = bench.ingest("uganda_malaria", source(tmp_path / "base"))
    assert base.patients.height == N_PATIENTS
    outcomes: Counter[tuple[str, str]] = Counter()
    for seed in range(N_MUTATIONS):
        rng, folder = random.Random(f"{form} {seed}"), source(tmp_path / f"{form}{seed}")
        kind = (
            mutated_parquet(rng, folder)
            if form == "parquet"
            else mutated_csv(rng, folder, form == "gzip")
        )
        try:
            done = bench.ingest("uganda_malaria", folder)
        except Refusal:
            outcomes[kind, "refused in words"] += 1
            continue
        lost = N_PATIENTS - untouched(base, done)
        outcomes[kind, "all kept" if not lost else "dropped and counted"] += 1
        if form != "parquet" and kind not in ("changed bytes anywhere", "damaged gzip"):
            # two: a mutated id may name another patient, whose rows then contradict themselves
            assert lost <= 2, (seed, kind, lost)
    with capsys.disabled():
        for (kind, outcome), n in sorted(outcomes.items()):
            print(f"| {form} | {kind.replace('_', ' ')} | {outcome} | {n} |")  # noqa: T201
    assert sum(outcomes.values()) == N_MUTATIONS
