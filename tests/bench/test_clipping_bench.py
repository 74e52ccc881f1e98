"""The benchmark of clipping compares like with like."""

import sys
import warnings
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "bench"))

from clipping import WAYS, Flat, Patients, same_names


@pytest.mark.parametrize("recurrent", [False, True])
def test_every_way_clips_the_same_sum(recurrent: bool) -> None:
    torch.manual_seed(0)
    flat, patients = Flat(recurrent), Patients.drawn(9, seed=3, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sums = {name: way(flat, patients, 4) for name, way in WAYS.items()}
    wanted = sums.pop("ours, ghost")
    for got in sums.values():
        for name in same_names(flat):
            torch.testing.assert_close(got[name], wanted[name], rtol=1e-3, atol=1e-5)
