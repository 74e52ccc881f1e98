"""The benchmark of clipping compares like with like."""

import warnings

import pytest
import torch

from bench.clipping_ways import WAYS, Flat, Patients, same_names


@pytest.mark.parametrize("recurrent", [False, True])
def test_every_way_clips_the_same_sum(recurrent: bool) -> None:
    torch.manual_seed(0)
    flat, patients = Flat(recurrent), Patients.draw(9, seed=3, device="cpu")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sums = {name: way(flat, patients, 4) for name, way in WAYS.items()}
    expected = sums.pop("ours, ghost")
    for total in sums.values():
        for name in same_names(flat):
            torch.testing.assert_close(total[name], expected[name], rtol=1e-3, atol=1e-5)
