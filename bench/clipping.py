"""Patients per second of clipped gradient sums: ghost clipping on flat events, one gradient per
patient by vmap, and both modes of Opacus.

    python -m bench.clipping [--threads 1] [--device cpu]

The networks and the ways to clip are those of bench/clipping_ways.py. Each way runs at every size
of PARTS and its best counts, the fastest of --repeats passes over all patients. By default the
largest part is the whole batch, padded to its longest patient. All sums must agree.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from bench.clipping_ways import OPACUS, OURS, WAYS, Flat, Patients, Sums, ghost

RESULTS = Path(__file__).resolve().parent / "results" / "clipping.json"
PARTS = (16, 64, 256, 1024)  # patients clipped at once


def measure(recurrent: bool, patients: Patients, repeats: int) -> dict[str, Any]:
    """Patients per second of every way at its best size of part. Raises ValueError where a way's
    sums are not ours.
    """
    torch.manual_seed(0)
    flat = Flat(recurrent).to(patients.ids.device)
    expected = _flat_sum(ghost(flat, patients, max(PARTS)))
    runs = [(name, size) for name in WAYS for size in PARTS]
    for name, size in runs:  # and warm
        total = _flat_sum(WAYS[name](flat, patients, size))
        if (gap := float((total - expected).norm() / expected.norm())) > 1e-3:
            raise ValueError(f"{name} by {size}: its sums are {gap:.1e} off ours")
    fastest = dict.fromkeys(runs, float("inf"))
    for _ in range(repeats):  # in turn, so that a busy moment of the machine falls on all
        for name, size in runs:
            fastest[name, size] = min(
                fastest[name, size],
                seconds(partial(WAYS[name], flat, patients, size), patients),
            )
    speeds = {
        name: {size: round(len(patients.lengths) / fastest[name, size], 1) for size in PARTS}
        for name in WAYS
    }
    ways = {
        name: {"patients_per_second": max(by_part.values()), "by_part": by_part}
        for name, by_part in speeds.items()
    }
    best = max(max(speeds[name].values()) for name in OPACUS)
    return {"ways": ways, "ratio_to_best_opacus": round(max(speeds[OURS].values()) / best, 2)}


def _flat_sum(sums: Sums) -> torch.Tensor:
    return torch.cat([value.flatten() for value in sums.values()])


def seconds(run: Callable[[], Sums], patients: Patients) -> float:
    started = time.perf_counter()
    run()
    if patients.ids.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - started


def table(networks: dict[str, dict[str, Any]]) -> str:
    """A line per network and way."""
    lines = [f"{'network':14}{'way':16}{'patients/s':>11}{'ours is':>10}   by patients at once"]
    for network, result in networks.items():
        ours = result["ways"][OURS]["patients_per_second"]
        for name, figures in result["ways"].items():
            speed = figures["patients_per_second"]
            by_part = ", ".join(f"{size}: {part:.0f}" for size, part in figures["by_part"].items())
            lines.append(f"{network:14}{name:16}{speed:11.0f}{ours / speed:9.1f}x   {by_part}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--patients", type=int, default=1024)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")  # Opacus on hooks of modules whose input needs no gradient
    patients = Patients.draw(options.patients, seed=1, device=options.device)
    networks = {
        "feed-forward": measure(False, patients, options.repeats),
        "recurrent": measure(True, patients, options.repeats),
    }
    sys.stdout.write(table(networks))
    device = torch.cuda.get_device_name() if patients.ids.is_cuda else "cpu"
    RESULTS.write_text(
        json.dumps(
            {
                "torch": torch.__version__,
                "opacus": version("opacus"),
                "device": device,
                "threads": options.threads,
                "patients": options.patients,
                "events": len(patients.ids),
                "longest": int(patients.lengths.max()),
                "networks": networks,
            },
            indent=1,
        )
        + "\n",
        encoding="utf-8",
    )


if __name__ == "__main__":
    main()
