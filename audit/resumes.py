"""Attempts of the training loops that die and go on: fresh noise each time, each kept step once."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from safetensors import safe_open

from audit.findings import Check, Finding
from audit.loops import CHECKPOINT, PATIENTS, STEPS, Step, mechanism, watch
from audit.toy_loops import LOOPS
from pipeline.dp.errors import MechanismError
from pipeline.dp.noise import NoiseStream
from pipeline.dp.tape import Tape


class _Died(Exception):
    pass


def resume(name: str, folder: Path) -> Finding:
    """One attempt dies after its second checkpoint; two others go on from copies of it. No step's
    noise is any other's.
    """

    def die(line: str) -> None:
        if f"step {2 * CHECKPOINT}/" in line:
            raise _Died

    attempts: list[list[Step]] = [[], [], []]
    with suppress(_Died):
        _attempt(name, attempts[0], folder / "first", die)
    contents = _in_checkpoint(folder / "first")
    for k, steps in enumerate(attempts[1:]):
        shutil.copytree(folder / "first", folder / f"again-{k}")
        _attempt(name, steps, folder / f"again-{k}", lambda line: None)
    noises = [step.noise for steps in attempts for step in steps]
    # float32 blurs the last digits
    repeated = sum(bool(np.abs(one - other).max() < 1e-2) for one, other in combinations(noises, 2))
    n_steps = [len(steps) for steps in attempts]
    strange = sorted(contents - LOOPS[name](0).tensor_names)
    holds = (
        repeated == 0 and n_steps == [2 * CHECKPOINT, *[STEPS - 2 * CHECKPOINT] * 2] and not strange
    )
    return Finding(
        holds=holds,
        figures={"steps": len(noises), "repeated": repeated},
        message=(
            f"{name}: of the noises of {len(noises)} steps, {repeated} pairs are equal, over an"
            " attempt that died and two that went on from its checkpoint; the checkpoint holds"
            f" {'also ' + ', '.join(strange) if strange else 'weights, moments and the step only'}"
        ),
    )


def steps_kept(name: str, folder: Path) -> Finding:
    """An attempt dies after its second checkpoint, and the checkpoint is taken away, or an older
    one is put back: no further step may run.
    """

    def die_at(step: int) -> Callable[[str], None]:
        def die(line: str) -> None:
            if f"step {step}/" in line:
                raise _Died

        return die

    ran = {}
    for fault in ("gone", "older"):
        place = folder / fault / "checkpoint"
        place.parent.mkdir(parents=True)
        with suppress(_Died):
            _attempt(name, [], place, die_at(CHECKPOINT))
        shutil.copytree(place, place.with_name("copy"))
        with suppress(_Died):
            _attempt(name, [], place, die_at(2 * CHECKPOINT))
        shutil.rmtree(place)
        if fault == "older":
            shutil.copytree(place.with_name("copy"), place)
        steps: list[Step] = []
        with suppress(MechanismError):
            _attempt(name, steps, place, lambda line: None)
        ran[fault] = len(steps)
    return Finding(
        holds=not any(ran.values()),
        figures={f"steps_again_{fault}": n for fault, n in ran.items()},
        message=(
            f"{name}: after {2 * CHECKPOINT} steps were kept, {ran['gone']} ran where the"
            f" checkpoint was gone, and {ran['older']} where an older one was put back"
        ),
    )


def _attempt(name: str, steps: list[Step], folder: Path, progress: Callable[[str], None]) -> None:
    folder.mkdir(exist_ok=True)
    LOOPS[name](PATIENTS).run(
        watch(mechanism(), steps),
        tape=Tape(),
        noise=NoiseStream(),
        checkpoint=folder,
        checkpoint_steps=CHECKPOINT,
        progress=progress,
    )


def _in_checkpoint(folder: Path) -> set[str]:
    """Kinds of what a checkpoint's folder holds: the first part of the names of tensors, keys of
    the metadata, other files.
    """
    kinds = set()
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            kinds.add(file.name)
            continue
        with safe_open(file, framework="pt") as tensors:
            kinds |= {key.replace("/", ".").split(".")[0] for key in list(tensors.keys())} | set(
                tensors.metadata() or {}
            )
    return kinds


CHECKS = tuple(
    check
    for name in LOOPS
    for check in (
        Check(
            name=f"{name} training draws fresh noise after a resume",
            family="mechanisms",
            run=partial(resume, name),
            asks="a checkpoint holds no noise state, and a resume draws a fresh key",
        ),
        Check(
            name=f"{name} training runs its steps once",
            family="mechanisms",
            run=partial(steps_kept, name),
            asks=(
                "steps that were kept are never run again with other noise, whatever became of the"
                " checkpoint"
            ),
        ),
    )
)
