"""Every size that stands in code between a source's rows and a mechanism, read from its text: whole
numbers of at least LEAST, each with the reason why it is there. A number that is not in the table
fails the check, so that no branch on how many rows there are comes in unseen.

Smaller numbers are passed by the stability audits, which have more patients. `ROWS` are those that
rows or patients are cut by; `sizes.py` has more rows than the largest of them.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from fnmatch import fnmatch
from pathlib import Path

from audit.findings import Check, Finding
from pipeline.catalog import project_root

LEAST = 64
FOLDERS = ("restricted/ingest", "restricted/train.py", "dp", "models", "adapters")
# Read no row of a patient: they plan, account, draw, or fit to noisy counts.
READ_NO_ROW = (
    *(f"dp/{name}.py" for name in ("accounting", "audit", "gaussian", "one_run", "pld", "renyi")),
    *("dp/tradeoff.py", "models/*/plan/*", "models/*/draw/*", "models/table/values/*"),
    *(f"models/synthesizer/{name}.py" for name in ("draw", "explanation", "plan", "plan_cells")),
    *(f"models/table/domain/{name}.py" for name in ("copula", "known", "order", "tails")),
    *(f"models/table/fit/{name}.py" for name in ("generator", "network", "pair_noise", "raking")),
    *(f"models/table/fit/{name}.py" for name in ("denoise", "edges", "target")),
    "models/table/fit/without_privacy.py",  # for published rows alone
    *(f"models/pathway/fit/{name}.py" for name in ("calibration", "cell_weights", "given")),
    *("models/pathway/fit/heads.py", "adapters/simulacrum/write*", "adapters/simulacrum/key_*"),
)
Sizes = Mapping[str, Mapping[float, str]]  # of a place: path, and the function where it is in one

EDGES, BITS, TIME = "edges of bins, declared", "bits of a number's form", "units of time"
TEXT, IDS = "characters or bytes of one cell or line", "constants of a hash of ids"
ROWS: Sizes = {
    "restricted/ingest/arrow_source.py": {50_000: "BATCH_ROWS: rows read at once"},
    "restricted/ingest/sheet_source.py": {10_000: "BATCH_ROWS: rows read at once"},
    "restricted/ingest/owners.py": {20_000: "BUCKET_PATIENTS: patients of a bucket"},
    "restricted/ingest/owners.py, assign_owners": {1000: "rows of a Parquet group, at least"},
    "models/pathway/fit/encoded_log.py": {100_000: "CHUNK: patients encoded at a time"},
    "models/table/fit/critic.py": {2048: "_MICRO_BATCH: patients of a micro-batch"},
}
# Of bytes, floats and candidates: so large that `sizes.py` makes them smaller.
BLOCKS: Sizes = {
    "restricted/ingest/csv_lines.py": {8 << 20: "BLOCK_BYTES: bytes read at once", 64: TEXT},
    "dp/ghost_traces.py": {1 << 23: "_CHUNK_FLOATS: floats of a chunk of patients"},
    "dp/noise.py": {
        1 << 18: "_BATCH: candidates of a round of rejection",
        1024: "_PROPOSALS: places proposed at once",
        64: "SIGMA_GRID",
        2**20: "_LARGEST_SIGMA",
    },
}
OTHERS: Sizes = {
    "restricted/ingest/casting.py, _typed": {2.0**62: BITS},
    "restricted/ingest/casting.py, broken_rows": {100: TEXT},
    "restricted/ingest/cohorts.py": {120.0: TIME},
    "restricted/ingest/csv_header.py": {1 << 20: TEXT},
    "restricted/ingest/csv_header.py, read": {1 << 30: TEXT},
    "restricted/ingest/csv_lines.py, parse_line": {1 << 30: TEXT},
    "restricted/ingest/csv_source.py, header_of": {1 << 20: TEXT},
    "restricted/ingest/examples.py": {1000: "texts that a dry run shows"},
    "restricted/ingest/holdout.py, is_held_out": {2**64: BITS},
    "restricted/ingest/holdout.py, permanent_key": {0o600: "who may read", 0o700: "who may read"},
    "restricted/ingest/json_source.py": {1000: "undeclared keys that a message may name"},
    "restricted/ingest/json_source.py, open_json.rows": {1 << 20: TEXT},
    "restricted/ingest/parquet_cells.py": {
        **dict.fromkeys((1970, 86_400, 86_400_000, 86_400_000_000, 86_400_000_000_000), TIME),
        2.0**53: BITS,
    },
    "restricted/ingest/parquet_cells.py, _dates": {-(2**63): BITS, 2**63 - 1: BITS},
    "restricted/ingest/parquet_cells.py, _moments": {1000: TIME, 1_000_000: TIME},
    "restricted/ingest/parquet_cells.py, _times": {86_400_000_000_000: TIME},
    "restricted/ingest/parquet_cells.py, float_texts": {2.0**63: BITS},
    "restricted/ingest/quoted_rows.py": {64 << 20: TEXT},
    "restricted/ingest/quoted_rows.py, _cells": {1 << 30: TEXT},
    "restricted/ingest/sheet_source.py, _has_formulas": {-64: TEXT, 1 << 20: TEXT},
    "restricted/ingest/sheet_source.py, _number": {2.0**53: BITS, 2.0**63: BITS},
    "restricted/ingest/text_bytes.py": {64 << 20: TEXT},
    "restricted/ingest/text_bytes.py, _Transcoded.read": {65_536: "bytes decoded at once"},
    "restricted/ingest/text_bytes.py, _Transcoded.seek": {1 << 20: "bytes skipped at once"},
    "dp/noise.py, NoiseStream._bernoulli_exactly": {64: BITS},
    "dp/noise.py, NoiseStream._discrete_gaussian_batch": {2**31: "steps of a coin, never reached"},
    "dp/noise.py, NoiseStream._exp_minus_fractions": {2**64: BITS},
    "dp/noise.py, NoiseStream.bernoulli": {2**64: BITS},
    "dp/noise.py, NoiseStream.one_of": {2**31: "steps of a coin, never reached"},
    "dp/selection.py": {2**20: "EPSILON_GRID", 2**38: "gap of scores", 2**61: "largest score"},
    "models/grammar/tracker.py": {1 << 30: "a day that never comes"},
    "models/pathway/domain/coding.py": dict.fromkeys(
        (90, 91, 121, 181, 183, 271, 274, 366, 548, 731, 1096, 1461, 1826, 1827, 2191, 2556, 3651),
        EDGES,
    ),
    "models/pathway/domain/fact_cells.py": {36_525.0: EDGES},
    "models/pathway/domain/facts.py": dict.fromkeys(
        (64, 70, 78, 92, 122, 183, 366, 731, 1096, 1827), EDGES
    ),
    "models/pathway/domain/head.py": {20_000: "rows of a table of weights, not of patients"},
    "models/pathway/domain/network.py": {-1e9: "an impossible logit", 366: TIME},
    "models/pathway/domain/network.py, PathwayNetwork._code_losses": {-100: "no target"},
    "models/pathway/domain/network.py, PathwayNetwork.row_losses": {-100: "no target"},
    "models/pathway/domain/picked.py": {0x9E3779B97F4A7C15: IDS},
    "models/pathway/domain/picked.py, own_numbers": {1 << 20: IDS},
    "models/pathway/domain/picked.py, static_numbers": {-1.5e9: IDS},
    "models/pathway/domain/race.py": {365.0: TIME},
    "models/pathway/domain/state.py": {1 << 14: "a day that is far"},
    "models/pathway/fit/encoded_log.py, _states": {2**15: BITS},
    "models/table/domain/encode.py, _edges": {2**52: BITS},
    "models/table/fit/critic.py, _draw": {1_000_003: "seed of public draws"},
    "models/table/fit/fit.py": {20_000: "_DRAWS: rows drawn of the generator"},
    "adapters/frames.py": {1970: TIME},
    "adapters/sayable.py": {2**31: "a day that never comes"},
    "adapters/simulacrum/names.py": dict.fromkeys((90, 91, 180), EDGES),
}
LARGEST = int(max(size for sizes in ROWS.values() for size in sizes))


def sizes_in(folder: Path) -> Iterator[tuple[str, float]]:
    """The whole numbers of at least LEAST of all code below `folder` that reads rows, each with
    its place.
    """
    for top in FOLDERS:
        paths = sorted((folder / top).glob("**/*.py")) or [folder / top]
        for path in paths:
            name = path.relative_to(folder).as_posix()
            if not any(fnmatch(name, pattern) for pattern in READ_NO_ROW):
                yield from _sizes(ast.parse(path.read_text(encoding="utf-8")), name, "")


def _sizes(node: ast.AST, name: str, function: str) -> Iterator[tuple[str, float]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.expr) and (value := _number(child)) is not None:
            if abs(value) >= LEAST and value == int(value):
                yield f"{name}, {function}" if function else name, value
            continue
        inside = function
        if isinstance(child, ast.FunctionDef | ast.ClassDef):
            inside = f"{function}.{child.name}".lstrip(".")
        yield from _sizes(child, name, inside)


def _number(node: ast.expr) -> float | None:
    """What an expression of numbers alone comes to."""
    parts = (ast.Constant, ast.BinOp, ast.UnaryOp, ast.operator, ast.unaryop)
    if not all(isinstance(part, parts) for part in ast.walk(node)):
        return None
    try:
        value = eval(compile(ast.Expression(node), "<number>", "eval"), {"__builtins__": {}})
    except (TypeError, ValueError, ArithmeticError):
        return None
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if is_number and abs(value) != float("inf") else None


def reviewed(_folder: Path) -> Finding:
    there = set(sizes_in(project_root() / "pipeline"))
    table = {
        (place, size)
        for sizes_of in (ROWS, BLOCKS, OTHERS)
        for place, sizes in sizes_of.items()
        for size in sizes
    }
    new = sorted(there - table)
    gone = sorted(table - there)
    return Finding(
        holds=not new and not gone,
        figures={"sizes": len(there), "new": len(new), "gone": len(gone)},
        message=(
            f"{len(there)} sizes stand in code that reads rows: nobody has reviewed"
            f" {'; '.join(f'{size:.17g} in {place}' for place, size in new[:4]) or 'none of them'}"
            if new or not gone
            else f"reviewed sizes are gone: {'; '.join(map(str, gone[:4]))}"
        ),
    )


CHECKS: tuple[Check, ...] = (
    Check(
        name="every size is reviewed",
        family="stability",
        run=reviewed,
        asks="no code between rows and mechanisms has a branch on sizes that nobody looked at",
    ),
)
