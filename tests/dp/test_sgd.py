"""DP-SGD: clipped sums against brute force and Opacus, neighbours, batches, noise."""

import math
import warnings

import dp_accounting as dpa
import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor, nn

from pipeline.dp.ghost import GhostClipper
from pipeline.dp.noise import NoiseStream
from pipeline.dp.sgd import DpSgd, micro_batches, set_gradients

N_IDS, N_CODES, HIDDEN = 12, 5, 6


def mechanism(**changes: float) -> DpSgd:
    fields = {
        "steps": 3,
        "sampling_probability": 0.1,
        "l2_clip_norm": 1.0,
        "noise_multiplier": 1.5,
        "expected_batch_size": 50.0,
    }
    return DpSgd(**(fields | changes))  # type: ignore[arg-type]


class Pathway(nn.Module):
    """Like the pathway model: a bag of state, a code table used twice, statics once per patient, a
    layer called twice.
    """

    def __init__(self) -> None:
        super().__init__()
        self.state = nn.EmbeddingBag(N_IDS, HIDDEN, mode="sum", padding_idx=0)
        self.codes = nn.Embedding(N_CODES, HIDDEN)
        self.static = nn.Linear(3, HIDDEN)
        self.inner = nn.Linear(HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, N_CODES, bias=False)

    def losses(
        self, state: Tensor, codes: Tensor, statics: Tensor, patient: Tensor, target: Tensor
    ) -> Tensor:
        hidden = (
            self.state(state)
            + self.codes(codes).sum(1)
            + self.codes(codes[:, 0])
            + self.static(statics)[patient]
        )
        hidden = torch.tanh(self.inner(torch.tanh(self.inner(torch.tanh(hidden)))))
        return nn.functional.cross_entropy(self.head(hidden), target, reduction="none")


Events = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # state, codes, statics, patient, target


def events(lengths: list[int], seed: int = 0) -> Events:
    """Rows of len(lengths) patients in any order; ids repeat within a row and 0 is padding."""
    generator = torch.Generator().manual_seed(seed)
    patient = torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))
    patient = patient[torch.randperm(len(patient), generator=generator)]
    n = len(patient)
    return (
        torch.randint(0, N_IDS, (n, 4), generator=generator),
        torch.randint(0, N_CODES, (n, 2), generator=generator),
        torch.randn(len(lengths), 3, generator=generator),
        patient,
        torch.randint(0, N_CODES, (n,), generator=generator),
    )


def only(batch: Events, p: int) -> Events:
    state, codes, statics, patient, target = batch
    mine = patient == p
    return (
        state[mine],
        codes[mine],
        statics[p : p + 1],
        torch.zeros(int(mine.sum()), dtype=torch.int64),
        target[mine],
    )


def brute_force(model: Pathway, batch: Events, clip: float) -> dict[str, Tensor]:
    """One backward pass per patient: the definition."""
    total = {name: torch.zeros_like(parameter) for name, parameter in model.named_parameters()}
    for p in range(len(batch[2])):
        mine = only(batch, p)
        model.zero_grad()
        model.losses(*mine).sum().backward()
        norm = math.sqrt(sum(float(q.grad.double().square().sum()) for q in model.parameters()))
        for name, q in model.named_parameters():
            total[name] += q.grad * min(1.0, clip / max(norm, 1e-30))
    model.zero_grad()
    return total


def ghost(model: Pathway, batch: Events, clip: float) -> dict[str, Tensor]:
    clipper = mechanism(l2_clip_norm=clip).ghost_clipper(model, per_patient=["static"])
    return clipper.clipped_sum(lambda: model.losses(*batch), batch[3], len(batch[2]))


def length(gradients: dict[str, Tensor]) -> float:
    return float(torch.cat([g.flatten() for g in gradients.values()]).norm())


@pytest.mark.parametrize("lengths", [[1], [1, 1, 1, 1], [3, 0, 1, 7, 2], [40, 1, 2, 90], [0, 0, 5]])
@pytest.mark.parametrize("clip", [0.05, 3.0, 1e6])
def test_ghost_clipping_is_per_patient_clipping(lengths: list[int], clip: float) -> None:
    torch.manual_seed(1)
    model, batch = Pathway(), events(lengths)
    wanted, got = brute_force(model, batch, clip), ghost(model, batch, clip)
    assert got.keys() == wanted.keys()
    for name in wanted:
        torch.testing.assert_close(
            got[name], wanted[name], rtol=5e-4, atol=1e-5 * max(1.0, length(wanted))
        )


def test_the_sum_does_not_depend_on_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    model, batch = Pathway(), events([5, 2, 9, 1, 1, 3, 30])
    whole = ghost(model, batch, 0.3)
    monkeypatch.setattr("pipeline.dp.ghost_traces._CHUNK_FLOATS", 50)
    for name, value in ghost(model, batch, 0.3).items():
        torch.testing.assert_close(value, whole[name])


def test_micro_batches_of_whole_patients_sum_to_the_batch() -> None:
    torch.manual_seed(2)
    model, batch = Pathway(), events([5, 2, 9, 1, 4])
    whole = ghost(model, batch, 0.3)
    parts = [ghost(model, only(batch, p), 0.3) for p in range(5)]
    for name in whole:
        torch.testing.assert_close(
            sum(part[name] for part in parts), whole[name], rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("poison", [1.0, 0.0, 1e4, 1e30, float("nan"), float("inf")])
def test_one_patient_moves_the_sum_by_at_most_the_clip_norm(poison: float) -> None:
    torch.manual_seed(3)
    model = Pathway()
    batch = events([3, 4, 2, 60])  # the last patient is the neighbour
    batch[2][3] = poison
    rest = batch[3] != 3
    without = (batch[0][rest], batch[1][rest], batch[2][:3], batch[3][rest], batch[4][rest])
    with_her, without_her = ghost(model, batch, 0.5), ghost(model, without, 0.5)
    moved = {name: with_her[name] - without_her[name] for name in with_her}
    assert all(bool(value.isfinite().all()) for value in moved.values())
    assert length(moved) <= 0.5 + 1e-5
    if poison in (1.0, 0.0):
        assert length(moved) > 0.49  # she does move it: the bound is tight, not a patient forgotten


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [1e2, 1e4, 1e6])
def test_rows_that_cancel_never_pass_the_clip_norm(size: float, seed: int) -> None:
    """Two huge rows of one patient that nearly cancel: float32 must not let through more than the
    clip norm.
    """
    model = nn.Sequential(nn.Linear(40, 1))
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(1, 40, generator=generator).repeat(2, 1) * size + torch.randn(
        2, 40, generator=generator
    )
    sign = torch.tensor([1.0, -1.0])
    assert (
        length(
            GhostClipper(model, 1.0).clipped_sum(
                lambda: model(x)[:, 0] * sign, torch.zeros(2, dtype=torch.int64), 1
            )
        )
        <= 1.0 + 1e-5
    )


def test_a_row_of_another_patient_changes_nothing_of_mine() -> None:
    model, batch = Pathway(), events([3, 4])
    alone = ghost(model, only(batch, 0), 0.5)
    both = ghost(model, batch, 0.5)
    other = ghost(model, only(batch, 1), 0.5)
    for name in both:
        torch.testing.assert_close(both[name], alone[name] + other[name], rtol=1e-4, atol=1e-6)


def test_clipping_is_left_without_a_trace() -> None:
    model, batch = Pathway(), events([3, 4])
    ghost(model, batch, 0.5)
    assert all(
        parameter.requires_grad and parameter.grad is None for parameter in model.parameters()
    )
    assert all(not layer._forward_hooks for layer in model.modules())


def test_ghost_and_functional_agree_on_a_critic() -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Linear(7, 16), nn.LeakyReLU(0.2), nn.Linear(16, 1))
    rows = torch.randn(20, 7)
    run = mechanism(l2_clip_norm=0.7)
    functional = run.clipped_sum(
        lambda weights, row: torch.func.functional_call(model, weights, (row[None],))[0, 0],
        {name: p.detach() for name, p in model.named_parameters()},
        rows,
    )
    booked = run.ghost_clipper(model).clipped_sum(lambda: model(rows)[:, 0], torch.arange(20), 20)
    for name in functional:
        torch.testing.assert_close(booked[name], functional[name], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("value", [100.0, 0.0, float("nan"), float("inf"), 1e30])
def test_functional_neighbours(value: float) -> None:
    run = mechanism(l2_clip_norm=0.5)
    weights = {"w": torch.ones(4), "b": torch.zeros(1)}

    def loss(weights: dict[str, Tensor], row: Tensor) -> Tensor:
        return ((weights["w"] @ row + weights["b"]) ** 2).sum()

    batch = torch.randn(6, 4)
    with_her = run.clipped_sum(loss, weights, torch.vstack([batch, torch.full((1, 4), value)]))
    without = run.clipped_sum(loss, weights, batch)
    assert length({name: with_her[name] - without[name] for name in without}) <= 0.5 + 1e-6
    assert length(run.clipped_sum(loss, weights, batch[:0])) == 0.0


def test_agrees_with_opacus() -> None:
    from opacus import GradSampleModule

    torch.manual_seed(5)
    model = nn.Sequential(
        nn.Embedding(9, 8), nn.Flatten(), nn.Linear(24, 8), nn.Tanh(), nn.Linear(8, 3)
    )
    ids, target = torch.randint(0, 9, (16, 3)), torch.randint(0, 3, (16,))

    def losses(net: nn.Module) -> Tensor:
        return nn.functional.cross_entropy(net(ids), target, reduction="none")

    booked = (
        mechanism(l2_clip_norm=0.4)
        .ghost_clipper(model)
        .clipped_sum(lambda: losses(model), torch.arange(16), 16)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = GradSampleModule(model, loss_reduction="sum")
        losses(wrapped).sum().backward()
    samples = {name: parameter.grad_sample for name, parameter in model.named_parameters()}
    norms = torch.stack([g.flatten(1).norm(dim=1) for g in samples.values()]).norm(dim=0)
    scale = (0.4 / norms).clamp(max=1.0)
    for name, gradient in samples.items():
        torch.testing.assert_close(
            booked[name], torch.einsum("b,b...->...", scale, gradient), rtol=2e-4, atol=4e-6
        )


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (nn.BatchNorm1d(3), "mixes patients"),
        (nn.LSTM(3, 4), "knows Linear"),
        (nn.EmbeddingBag(4, 2, mode="mean"), "knows Linear"),
        (nn.Embedding(4, 2, max_norm=1.0), "not supported"),
    ],
)
def test_layers_without_an_exact_norm_are_refused(layer: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GhostClipper(nn.Sequential(nn.Linear(3, 3), layer), 1.0)


def test_a_frozen_layer_is_left_out() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 1))
    model[0].requires_grad_(False)
    got = GhostClipper(model, 1.0).clipped_sum(
        lambda: model(torch.ones(2, 3))[:, 0], torch.arange(2), 2
    )
    assert set(got) == {"1.weight", "1.bias"}


def test_the_event_is_built_from_the_fields_that_run() -> None:
    run = mechanism()
    assert run.dp_event == dpa.SelfComposedDpEvent(
        dpa.PoissonSampledDpEvent(0.1, dpa.GaussianDpEvent(1.5)), 3
    )


def test_batches_are_poisson() -> None:
    """Independent coins: sizes are binomial, so not a constant (shuffled batches) and not
    correlated between patients.
    """
    run, noise = mechanism(sampling_probability=0.3), NoiseStream()
    drawn = [run.sample(50, noise) for _ in range(4000)]
    sizes = np.array([len(batch) for batch in drawn])
    observed = np.bincount(sizes, minlength=51)
    expected = 4000 * stats.binom.pmf(np.arange(51), 50, 0.3)
    wide = expected > 5
    assert (
        stats.chisquare(
            np.append(observed[wide], observed[~wide].sum()),
            np.append(expected[wide], expected[~wide].sum()),
        ).pvalue
        > 1e-6
    )
    assert all(len(run.sample(0, noise)) == 0 for _ in range(3))


def _noise(run: DpSgd, n: int = 200_000) -> np.ndarray:
    like = {"w": torch.zeros(n), "b": torch.zeros(3, 2)}
    return run.noisy_gradient([], like, NoiseStream())["w"].numpy()


def test_noise_has_the_accounted_scale_and_a_wrong_one_is_rejected() -> None:
    run = mechanism(l2_clip_norm=2.0, noise_multiplier=1.5, expected_batch_size=50.0)
    drawn = _noise(run) * 50.0 / (2.0 * 1.5)
    assert stats.kstest(drawn, "norm").pvalue > 1e-6
    for wrong in (2 / 3, 0.95, 1.05, 1.5):
        assert stats.kstest(drawn * wrong, "norm").pvalue < 1e-6


def test_divided_by_the_public_constant_whatever_the_batch() -> None:
    run = mechanism(noise_multiplier=1e-6, expected_batch_size=10.0)
    like = {"w": torch.zeros(2)}
    for sums in ([], [{"w": torch.ones(2)}], [{"w": torch.ones(2)}] * 3):
        got = run.noisy_gradient(iter(sums), like, NoiseStream())["w"]
        torch.testing.assert_close(got, torch.full((2,), len(sums) / 10.0), atol=1e-5, rtol=0)


def test_noise_is_never_repeated() -> None:
    run = mechanism()
    noise = NoiseStream()
    like = {"w": torch.zeros(64)}
    first, second = (
        run.noisy_gradient([], like, noise)["w"],
        run.noisy_gradient([], like, noise)["w"],
    )
    resumed = run.noisy_gradient([], like, NoiseStream())["w"]
    assert not torch.equal(first, second)
    assert not torch.equal(first, resumed)


def test_a_step_of_training_moves_the_weights() -> None:
    torch.manual_seed(6)
    model, batch = Pathway(), events([2, 3, 4])
    run = mechanism(noise_multiplier=1e-3, expected_batch_size=3.0)
    before = model.losses(*batch).mean().item()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(20):
        set_gradients(
            model,
            run.noisy_gradient(
                [ghost(model, batch, 1.0)], dict(model.named_parameters()), NoiseStream()
            ),
        )
        optimiser.step()
    assert model.losses(*batch).mean().item() < 0.8 * before


def test_micro_batches_drop_nobody() -> None:
    parts = list(micro_batches(np.arange(103), 10))
    assert np.concatenate(parts).tolist() == list(range(103))
    assert list(micro_batches(np.arange(0), 10)) == []


@pytest.mark.parametrize(
    "field",
    ["steps", "sampling_probability", "l2_clip_norm", "noise_multiplier", "expected_batch_size"],
)
@pytest.mark.parametrize("value", [0, -1, float("nan")])
def test_impossible_fields_are_refused(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=field):
        mechanism(**{field: value})
