"""Fifty signed-in researchers browse the public portal, alone and while a refresh runs: errors and
waiting times.

    python -m bench.portal_users --home HOME [--users 50] [--seconds 60] [--patients 600]

HOME has at least one published release of simulated pathways (`make run`, or the commands without
Airflow in the README). Every user reads a page, thinks for half a second to two seconds, and goes
on: first page, list, a release, Explore and its figures under a random cohort, requests, register.
Figures of one run compare: busy beside idle. Written into bench/results/portal_users.json.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx
import numpy as np

from bench import report
from bench.portal_process import SESSION_COOKIE, account_sessions, serve
from pipeline.catalog import Home

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "bench" / "results" / "portal_users.json"


@dataclass(frozen=True, kw_only=True)
class Load:
    """What users met: answers that were no page, and waiting times in milliseconds."""

    beside: str
    users: int
    pages: int
    errors: int
    p50_ms: float
    p95_ms: float
    longest_ms: float


def pages(release: str, dice: random.Random) -> list[tuple[str, bool]]:
    """A visit: addresses, and whether a script asks."""
    low = dice.randint(20, 60)
    cohort = f"a.AGE={low}..{low + 25}&a.GENDER={dice.choice('12')}"
    explore = f"/releases/{release}/explore"
    return [
        ("/", False),
        ("/releases", False),
        (f"/releases/{release}", False),
        (f"{explore}?{cohort}", False),
        (f"{explore}/figures?{cohort}", True),
        ("/requests", False),
        ("/uses", False),
    ]


async def browse(
    address: str, cookie: str, release: str, until: float, dice: random.Random
) -> list[tuple[float, int]]:
    """One user's answers: seconds, status."""
    answers = []
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        client.cookies.set(SESSION_COOKIE, cookie)
        while time.monotonic() < until:
            for path, is_script in pages(release, dice):
                headers = {"accept": "application/json"} if is_script else {}
                begin = time.perf_counter()
                try:
                    status = (await client.get(path, headers=headers)).status_code
                except httpx.HTTPError:
                    status = 0
                answers.append((time.perf_counter() - begin, status))
                await asyncio.sleep(dice.uniform(0.5, 2.0))
    return answers


def measure(address: str, cookies: list[str], release: str, seconds: float, beside: str) -> Load:
    """All users at once for so many seconds."""

    async def everybody() -> list[list[tuple[float, int]]]:
        until = time.monotonic() + seconds
        return await asyncio.gather(
            *(
                browse(address, cookie, release, until, random.Random(number))
                for number, cookie in enumerate(cookies)
            )
        )

    answers = [answer for user in asyncio.run(everybody()) for answer in user]
    waits = 1000 * np.array([seconds for seconds, _ in answers])
    return Load(
        beside=beside,
        users=len(cookies),
        pages=len(answers),
        errors=sum(status != 200 for _, status in answers),
        p50_ms=round(float(np.quantile(waits, 0.5)), 1),
        p95_ms=round(float(np.quantile(waits, 0.95)), 1),
        longest_ms=round(float(waits.max()), 1),
    )


def refresh(folder: Path, patients: int) -> subprocess.Popen[bytes]:
    """A refresh in a home of its own: the load on the machine, not on the portal's files."""
    source = folder / "source"
    pipeline = [sys.executable, "-m", "pipeline"]
    arguments = ["--patients", str(patients), "--seed", "1", "--out", str(source)]
    subprocess.run([*pipeline, "simulate", *arguments], check=True, capture_output=True, cwd=ROOT)
    command = [*pipeline, "refresh", "simulated_pathways", "--source", str(source)]
    options = ["--extract-date", "2022-12-31", "--release-id", "beside", "--epsilon", "1"]
    return subprocess.Popen(
        [*command, *options],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={"SYNDASERA_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1", **_path()},
    )


def _path() -> dict[str, str]:
    import os

    return {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="home with a published release")
    parser.add_argument("--users", type=int, default=50, help="signed-in researchers")
    parser.add_argument("--seconds", type=float, default=60, help="of each of the two measurements")
    parser.add_argument("--patients", type=int, default=600, help="of the refresh beside it")
    options = parser.parse_args()
    home = Home(options.home.resolve())
    release = max(path.name for path in home.published.iterdir() if path.is_dir())
    with serve(home) as address:
        cookies = account_sessions(home, options.users)
        loads = [measure(address, cookies, release, options.seconds, "nothing")]
        folder = Path(tempfile.mkdtemp())
        process = refresh(folder, options.patients)
        loads.append(measure(address, cookies, release, options.seconds, "a refresh"))
        process.terminate()
        process.wait()
        shutil.rmtree(folder, ignore_errors=True)
    for load in loads:
        print(json.dumps(asdict(load)))  # noqa: T201
    RESULTS.write_text(json.dumps([asdict(load) for load in loads], indent=1) + "\n")
    report.between("portal users", "portal_users.py", table(loads), report.DOCS / "portal.md")


def table(loads: list[Load]) -> str:
    """The figures for docs/portal.md."""
    rows = [
        f"| {load.beside} | {load.pages:,} | {load.errors} | {load.p50_ms:,.0f}"
        f" | {load.p95_ms:,.0f} | {load.longest_ms:,.0f} |"
        for load in loads
    ]
    head = "| beside it | pages | errors | median, ms | 95 of 100 within, ms | longest, ms |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


if __name__ == "__main__":
    main()
