"""One-run audits of the train stage: they hold as it is, and each kind of outputs tells by itself
where its noise or clip is gone.
"""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch
from canary_faults import (
    FAULTS,
    SEQUENCES,
    SMALL_FAULTS,
    TABLES,
    Fault,
    SmallFault,
    counts_without_noise,
    gradients_with_half_of_the_noise,
    gradients_without_noise,
    part_of_the_noise,
)
from scipy import stats

from audit import canaries, canary_data
from audit.canaries import CHECKS
from audit.canary_adversary import ALL_COUNTS, Rest, losses_of_counts, losses_of_gradients
from audit.canary_evidence import Evidence, from_counts
from audit.canary_outputs import Block, Step
from audit.canary_training import reading_parts
from audit.findings import Finding, perform
from audit.own_gradients import own_gradients
from pipeline.dp.sgd import DpSgd

BY_NAME = {check.name: check for check in CHECKS}


def audit(name: str, folder) -> Finding:
    return perform(BY_NAME[name], folder).finding


@pytest.mark.parametrize("name", [TABLES, SEQUENCES])
def test_the_train_stage_tells_no_more_than_is_charged(name, tmp_path) -> None:
    finding = audit(name, tmp_path)
    assert finding.holds, finding.message
    assert finding.figures["coins"] >= 1000
    assert 0.99 < finding.figures["all: claimed epsilon"] <= 1.0
    # the second is the sharper one, but near 0 both are what chance leaves
    assert (
        finding.figures["all: lower bound"] <= 0.05 + finding.figures["all: lower bound, Gaussian"]
    )


@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "paths"),
    [(TABLES, ("counts", "critic", "all")), (SEQUENCES, ("counts", "sequences", "all"))],
)
def test_without_noise_every_path_is_refuted_by_itself(name, paths, tmp_path, monkeypatch) -> None:
    counts_without_noise(monkeypatch)
    gradients_without_noise(monkeypatch)
    finding = audit(name, tmp_path)
    assert not finding.holds
    assert {path: finding.figures.get(f"{path}: refuted") for path in paths} == dict.fromkeys(
        paths, 1.0
    ), finding.message


@pytest.mark.long
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_planted_fault_is_caught_where_it_is(fault: Fault, tmp_path, monkeypatch) -> None:
    fault.patch(monkeypatch)
    finding = audit(fault.caught_by, tmp_path)
    assert not finding.holds
    other = (
        "counts"
        if fault.path != "counts"
        else "critic"
        if "tables" in fault.caught_by
        else "sequences"
    )
    assert (
        finding.figures.get(f"{fault.path}: refuted"),
        finding.figures.get(f"{other}: refuted"),
    ) == (1.0, 0.0), finding.message


@pytest.mark.long
@pytest.mark.parametrize("fault", SMALL_FAULTS, ids=lambda fault: fault.name)
def test_faults_too_small_for_guesses_show_in_what_is_left(
    fault: SmallFault, tmp_path, monkeypatch
) -> None:
    fault.patch(monkeypatch)
    finding = audit(fault.caught_by, tmp_path)
    assert not finding.holds
    share = finding.figures.get(f"rest of {fault.rest}: noise over claim", 1.0)
    assert share == pytest.approx(fault.share, abs=0.12 if "/" in fault.rest else 0.02)
    assert not any(value for key, value in finding.figures.items() if key.endswith(": refuted"))


def few_runs(folder) -> Finding:
    """One quick run of the parts that read rows."""
    invent = canary_data.FEW_OTHERS["tables"]
    return canaries.audit(invent, 1.0, 40, 1, reading_parts, folder)


def test_the_parts_that_read_rows_hold_the_claimed_noise_and_half_of_it_shows(
    tmp_path, monkeypatch
) -> None:
    sound = few_runs(tmp_path / "sound")
    assert sound.holds and sound.figures["rests"] > 40, sound.message
    part_of_the_noise(None)(monkeypatch)
    gradients_with_half_of_the_noise(monkeypatch)
    finding = few_runs(tmp_path / "halved")
    assert not finding.holds
    shares = {key: value for key, value in finding.figures.items() if key.startswith("rest of")}
    assert shares["rest of critic: noise over claim"] == pytest.approx(0.5, abs=0.02)
    # some hundreds of cells
    assert shares["rest of all counts: noise over claim"] == pytest.approx(0.5, abs=0.12)


@pytest.mark.long
@pytest.mark.parametrize("name", [check.name for check in CHECKS if check.long])
def test_the_long_audits_hold(name, tmp_path) -> None:
    finding = audit(name, tmp_path)
    assert finding.holds, finding.message


def test_the_auditor_decodes_counts_of_shared_cells_exactly_where_there_is_no_noise() -> None:
    rng = np.random.default_rng(1)
    coins, copies = rng.random(60) < 0.5, 7
    blocks = []
    for _ in range(12):
        # 60 canaries and 5 kinds in 20 of 25 cells: every cell is shared
        cells = rng.integers(20, size=65)
        truth = np.bincount(cells[:60][coins], minlength=25) + copies * np.bincount(
            cells[60:], minlength=25
        )
        blocks.append(Block("a block", 5.0, truth, cells))
    scores = from_counts(blocks, 60, copies).scores()
    assert np.array_equal(scores > 0, coins) and np.abs(np.abs(scores) - 0.5).max() < 0.01


def test_what_is_told_twice_weighs_twice() -> None:
    once = Evidence(2.0 * np.eye(3), np.array([1.0, 0.0, -1.0]))
    assert np.allclose((once + once).scores(), [2 / 8, 0, -2 / 8]) and np.allclose(
        once.scores(), [1 / 6, 0, -1 / 6]
    )


def test_what_is_left_of_counts_is_the_noise_and_ratios_are_those_of_discrete_gaussians() -> None:
    sigma = 2.0
    coins, cells = np.array([True, False, True]), np.array([0, 0, 2, 1, 2])
    noise = np.array([1, -2, 3])
    noisy = np.array([1, 4, 1 + 4]) + noise  # two kinds, four of each
    losses = losses_of_counts([Block("b", sigma, noisy, cells)], coins, 4)
    assert losses.rests == {
        name: Rest(name, pytest.approx(14 / sigma**2), 3) for name in ("b", ALL_COUNTS)
    }

    def log_chance(value: float) -> float:
        return -(value**2) / (2 * sigma**2)

    # with the coin and without it, all others as they are
    expected = [
        log_chance(noisy[0] - 1) - log_chance(noisy[0]),
        log_chance(noisy[0] - 2) - log_chance(noisy[0] - 1),
        log_chance(noisy[2] - 5) - log_chance(noisy[2] - 4),
    ]
    assert np.allclose(losses.ratios, expected)


def test_what_is_left_of_gradients_is_the_noise_and_ratios_are_those_of_sampled_gaussians() -> None:
    rng = np.random.default_rng(6)
    mechanism = DpSgd(
        steps=1,
        sampling_probability=0.25,
        l2_clip_norm=1.0,
        noise_multiplier=0.8,
        expected_batch_size=2.0,
    )
    own = torch.eye(3, 6, dtype=torch.float32)  # two canaries and a kind
    noise = torch.from_numpy(rng.standard_normal(6) * 0.8).float()
    summed = own[1] + 2 * own[2] + noise
    # rows trained on: the kind twice, then the second canary
    step = Step(mechanism, {"w": noise}, np.array([0, 1, 2]), {"w": summed / 2})
    losses = losses_of_gradients(step, own, np.array([False, True]), 2, "steps")
    assert losses.rests["steps"].squares == pytest.approx(
        float(noise.square().sum()) / 0.64, rel=1e-5
    )
    for place, without in enumerate((summed - 2 * own[2] - own[1], summed - 2 * own[2])):
        density = stats.norm(scale=0.8)
        x = float(without[place])
        ratio = np.log(0.75 + 0.25 * density.pdf(x - 1) / density.pdf(x))
        assert losses.ratios[place] == pytest.approx(ratio, rel=1e-4)


@pytest.mark.parametrize(("share", "wrong"), [(1.0, False), (0.5, True), (2.0, True)])
def test_noise_of_another_size_is_refuted(share: float, wrong: bool) -> None:
    squares = share**2 * np.random.default_rng(7).standard_normal(500) ** 2
    rest = Rest("b", float(squares.sum()), 500)
    assert rest.is_refuted(1e-9) == wrong
    assert rest.share_of_claim == pytest.approx(share, rel=0.2)


class Network(torch.nn.Module):
    """Of each kind of layer, called with several rows per patient; one layer has a row for each
    patient.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bag = torch.nn.EmbeddingBag(9, 4, mode="sum")
        self.one = torch.nn.Embedding(5, 4)
        self.statics = torch.nn.EmbeddingBag(6, 4, mode="sum")
        self.last = torch.nn.Linear(4, 3)

    def losses(
        self, features: torch.Tensor, statics: torch.Tensor, owner: torch.Tensor
    ) -> torch.Tensor:
        hidden = torch.tanh(
            self.bag(features) + self.one(features[:, 0] % 5) + self.statics(statics)[owner]
        )
        return torch.logsumexp(self.last(hidden), 1)


def test_the_auditors_gradients_are_autograds() -> None:
    torch.manual_seed(0)
    network, owner = Network(), torch.tensor([0, 0, 0, 1, 3, 3])  # patient 2 has no row
    features, statics = torch.randint(9, (6, 3)), torch.randint(6, (4, 2))
    gradients = own_gradients(
        network, lambda: network.losses(features, statics, owner), owner, 4, ("statics",)
    )
    for patient in range(4):
        network.zero_grad()
        is_own = owner == patient
        if is_own.any():
            network.losses(
                features[is_own],
                statics[[patient]],
                torch.zeros(int(is_own.sum()), dtype=torch.long),
            ).sum().backward()
        autograd_gradients = torch.cat(
            [
                (torch.zeros_like(p) if p.grad is None else p.grad).flatten()
                for p in network.parameters()
            ]
        )
        assert torch.allclose(gradients[patient], autograd_gradients, atol=1e-6)


def test_an_extract_holds_the_kinds_and_the_canaries_whose_coins_fell_so() -> None:
    data = canary_data.sequences(20, np.random.default_rng(2), kinds=10, copies=3)
    included = np.arange(20) % 3 == 0
    patients, events = data.extract(included)
    assert (
        events is not None
        and patients["patient_id"].is_unique().all()
        and patients.height == 30 + 7
    )
    assert set(data.canaries["patient_id"].filter(pl.Series(~included))).isdisjoint(
        patients["patient_id"]
    )
    assert set(events["patient_id"]) <= set(patients["patient_id"])
    assert data.everybody()[0].height == 30
