"""The GRU for ghost clipping: torch.nn.GRU's states and gradients, per-patient clipping by
definition and by Opacus, neighbours.
"""

import math
import warnings

import pytest
import torch
from torch import Tensor, nn

from pipeline.dp.ghost import GhostClipper
from pipeline.dp.recurrent import GhostGru

N_IDS, N_CODES, IN, HIDDEN = 12, 5, 4, 6
RAGGED = [[1], [1, 1, 1], [3, 0, 1, 7, 2], [100, 1, 40], [0, 0, 5, 0]]


def owners(lengths: list[int]) -> Tensor:
    return torch.repeat_interleave(torch.arange(len(lengths)), torch.tensor(lengths))


def torch_gru(ours: GhostGru) -> nn.GRU:
    """torch's layer with our weights."""
    twin = nn.GRU(ours.input.in_features, ours.hidden_features, batch_first=True).to(
        ours.input.weight.dtype
    )
    parts = {"ih": ours.input, "hh": ours.recurrent}
    twin.load_state_dict(
        {
            f"{kind}_{part}_l0": getattr(layer, kind).detach()
            for part, layer in parts.items()
            for kind in ("weight", "bias")
        }
    )
    return twin


class Pathway(nn.Module):
    """Two recurrent layers on a bag of ids and a measured row; the second one's states go into a
    head.
    """

    def __init__(self) -> None:
        super().__init__()
        self.ids = nn.EmbeddingBag(N_IDS, IN, mode="sum")
        self.measured = nn.Linear(2, IN)
        self.lower = GhostGru(IN, HIDDEN)
        self.upper = GhostGru(HIDDEN, HIDDEN)
        self.head = nn.Linear(HIDDEN, N_CODES)

    def losses(self, ids: Tensor, measured: Tensor, target: Tensor, owner: Tensor) -> Tensor:
        hidden = self.upper(self.lower(self.ids(ids) + self.measured(measured), owner), owner)
        return nn.functional.cross_entropy(self.head(hidden), target, reduction="none")


Events = tuple[Tensor, Tensor, Tensor, Tensor]  # ids, measured, target, owner


def events(lengths: list[int], seed: int = 0) -> Events:
    generator = torch.Generator().manual_seed(seed)
    n = sum(lengths)
    return (
        torch.randint(0, N_IDS, (n, 3), generator=generator),
        torch.randn(n, 2, generator=generator),
        torch.randint(0, N_CODES, (n,), generator=generator),
        owners(lengths),
    )


def model(seed: int = 1) -> Pathway:
    torch.manual_seed(seed)
    return Pathway()


def only(batch: Events, patients: Tensor) -> Events:
    """Rows of the patients where the bool [p] is True, who are numbered anew."""
    mine = patients[batch[3]]
    return batch[0][mine], batch[1][mine], batch[2][mine], (patients.cumsum(0) - 1)[batch[3][mine]]


def ghost(net: Pathway, batch: Events, clip: float, n_patients: int) -> dict[str, Tensor]:
    return GhostClipper(net, clip).clipped_sum(lambda: net.losses(*batch), batch[3], n_patients)


def brute_force(net: Pathway, batch: Events, clip: float, n_patients: int) -> dict[str, Tensor]:
    """One backward pass of torch's own GRU per patient, in float64: the definition."""
    twin = model().double()
    twin.load_state_dict(net.state_dict())
    lower, upper = torch_gru(twin.lower), torch_gru(twin.upper)
    names = {
        "ids.weight": twin.ids.weight,
        "measured.weight": twin.measured.weight,
        "measured.bias": twin.measured.bias,
    }
    for name, gru in (("lower", lower), ("upper", upper)):
        names |= {
            f"{name}.input.weight": gru.weight_ih_l0,
            f"{name}.input.bias": gru.bias_ih_l0,
            f"{name}.recurrent.weight": gru.weight_hh_l0,
            f"{name}.recurrent.bias": gru.bias_hh_l0,
        }
    names |= {"head.weight": twin.head.weight, "head.bias": twin.head.bias}
    total = {name: torch.zeros_like(parameter) for name, parameter in names.items()}
    for p in range(n_patients):
        ids, measured, target, _ = only(batch, torch.arange(n_patients) == p)
        if not len(ids):
            continue
        given = twin.ids(ids) + twin.measured(measured.double())
        loss = nn.functional.cross_entropy(
            twin.head(upper(lower(given[None])[0])[0][0]), target, reduction="sum"
        )
        gradients = torch.autograd.grad(loss, list(names.values()))
        norm = math.sqrt(sum(float(g.square().sum()) for g in gradients))
        for name, gradient in zip(names, gradients, strict=True):
            total[name] += gradient * min(1.0, clip / norm)
    return total


def length(gradients: dict[str, Tensor]) -> float:
    return float(torch.cat([g.flatten().double() for g in gradients.values()]).norm())


@pytest.mark.parametrize("lengths", RAGGED)
def test_states_are_those_of_torch(lengths: list[int]) -> None:
    torch.manual_seed(0)
    ours, owner, rows = GhostGru(IN, HIDDEN), owners(lengths), torch.randn(sum(lengths), IN)
    twin = torch_gru(ours)
    wanted = torch.cat([twin(rows[owner == p][None])[0][0] for p in owner.unique()])
    torch.testing.assert_close(ours(rows, owner), wanted)


def test_no_rows_give_no_gradient() -> None:
    ours, rows = GhostGru(IN, HIDDEN), torch.zeros(0, IN, requires_grad=True)
    ours(rows, owners([0])).sum().backward()
    assert rows.grad is not None and all(
        bool((parameter.grad == 0).all()) for parameter in ours.parameters()
    )


def test_patients_may_be_interleaved() -> None:
    torch.manual_seed(0)
    ours, rows = GhostGru(IN, HIDDEN), torch.randn(6, IN)
    owner, apart = torch.tensor([2, 0, 2, 0, 0, 2]), torch.tensor([1, 3, 4, 0, 2, 5])
    torch.testing.assert_close(ours(rows, owner)[apart], ours(rows[apart], owner[apart]))


def test_gradients_are_those_of_the_function() -> None:
    torch.manual_seed(0)
    ours, owner = GhostGru(2, 3).double(), torch.tensor([0, 1, 0, 0, 3, 1])
    names = dict(ours.named_parameters())

    def states(rows: Tensor, *weights: Tensor) -> Tensor:
        return torch.func.functional_call(
            ours, dict(zip(names, weights, strict=True)), (rows, owner)
        )

    inputs = [
        torch.randn(6, 2, dtype=torch.float64),
        *(parameter.detach().clone() for parameter in names.values()),
    ]
    assert torch.autograd.gradcheck(states, [value.requires_grad_() for value in inputs])


@pytest.mark.parametrize("clip", [0.05, 3.0, 1e6])
@pytest.mark.parametrize("lengths", RAGGED)
def test_ghost_clipping_is_per_patient_clipping(lengths: list[int], clip: float) -> None:
    net, batch = model(), events(lengths)
    wanted, got = brute_force(net, batch, clip, len(lengths)), ghost(net, batch, clip, len(lengths))
    assert got.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(
            got[name].double(), value, rtol=5e-4, atol=1e-5 * max(1.0, length(wanted))
        )


def test_no_patient_has_a_row() -> None:
    net = model()
    assert length(ghost(net, events([0, 0]), 1.0, 2)) == 0.0
    assert net.lower(torch.zeros(0, IN), torch.zeros(0, dtype=torch.int64)).shape == (0, HIDDEN)


def test_agrees_with_opacus() -> None:
    from opacus import GradSampleModule
    from opacus.layers import DPGRU

    lengths = torch.tensor([4, 1, 9, 2, 2])
    real = torch.arange(9) < lengths[:, None]
    torch.manual_seed(5)
    rows, weigh = torch.randn(5, 9, IN), torch.randn(5, 9, HIDDEN)
    ours = GhostGru(IN, HIDDEN)
    got = GhostClipper(ours, 0.4).clipped_sum(
        lambda: (ours(rows[real], owners(lengths.tolist())) * weigh[real]).sum(1),
        owners(lengths.tolist()),
        5,
    )
    theirs = DPGRU(IN, HIDDEN, batch_first=True)
    theirs.load_state_dict(torch_gru(ours).state_dict())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = GradSampleModule(theirs, batch_first=True, loss_reduction="sum")
        (wrapped(rows)[0] * weigh * real[:, :, None]).sum().backward()
    samples = [parameter.grad_sample for parameter in theirs.parameters()]
    scale = (0.4 / torch.stack([g.flatten(1).norm(dim=1) for g in samples]).norm(dim=0)).clamp(
        max=1.0
    )
    assert bool((scale < 1).any())
    for value, gradient in zip(got.values(), samples, strict=True):
        torch.testing.assert_close(
            value, torch.einsum("b,b...->...", scale, gradient), rtol=2e-4, atol=4e-6
        )


# the last passes float32 when squared
@pytest.mark.parametrize("poison", [float("nan"), float("inf"), 1e38])
def test_a_gradient_that_is_not_finite_adds_zero(poison: float) -> None:
    net, batch = model(), events([3, 4, 2])
    batch[1][4] = poison  # a row of the second patient
    rest = torch.tensor([True, False, True])
    got, wanted = ghost(net, batch, 0.5, 3), ghost(net, only(batch, rest), 0.5, 2)
    for name, value in wanted.items():
        torch.testing.assert_close(got[name], value, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("seed", range(12))
def test_one_patient_moves_the_sum_by_at_most_the_clip_norm(seed: int) -> None:
    """Neighbours of any lengths, weights and sizes of the data; she may stand anywhere."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(0, 30, (5,), generator=generator).tolist()
    her = int(torch.randint(0, 5, (1,), generator=generator))
    lengths[her] += 1
    net, batch, clip = (
        model(seed),
        events(lengths, seed),
        float(10 ** torch.empty(1).uniform_(-2, 1, generator=generator)),
    )
    batch[1][batch[3] == her] *= float(10 ** torch.empty(1).uniform_(-2, 6, generator=generator))
    with torch.no_grad():
        for parameter in net.parameters():
            parameter *= float(10 ** torch.empty(1).uniform_(-1, 1, generator=generator))
    without = ghost(net, only(batch, torch.arange(5) != her), clip, 4)
    moved = {name: value - without[name] for name, value in ghost(net, batch, clip, 5).items()}
    assert length(moved) <= clip * (1 + 1e-5) + 1e-6 * length(without)


def test_a_long_pathway_reaches_the_clip_norm_and_no_more() -> None:
    net, batch = model(), events([100])
    assert 0.01 * (1 - 1e-4) < length(ghost(net, batch, 0.01, 1)) <= 0.01 * (1 + 1e-7)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [1e4, 1e6])
def test_steps_that_cancel_never_pass_the_clip_norm(size: float, seed: int) -> None:
    """Like rows bring like states, and huge gradients of two late steps nearly cancel: float32 must
    not let through more than the clip norm.
    """
    torch.manual_seed(seed)
    ours, rows, weigh = GhostGru(IN, 64), torch.randn(1, IN).repeat(40, 1), torch.zeros(40, 64)
    weigh[38:] = torch.stack([torch.full((64,), size), torch.full((64,), -size)])
    owner = torch.zeros(40, dtype=torch.int64)
    assert (
        length(
            GhostClipper(ours, 1.0).clipped_sum(
                lambda: (ours(rows, owner) * weigh).sum(1), owner, 1
            )
        )
        <= 1.0 + 1e-5
    )


def test_a_step_is_one_more_row_of_the_sequence() -> None:
    torch.manual_seed(0)
    ours, rows = GhostGru(IN, HIDDEN), torch.randn(7, 3, IN)  # time, patient
    sequence = ours(rows.flatten(0, 1), torch.arange(3).repeat(7)).view(7, 3, HIDDEN)
    states = torch.zeros(3, HIDDEN)
    for time in range(7):
        states = ours.step(rows[time], states)
        torch.testing.assert_close(states, sequence[time])
    assert not states.requires_grad
    assert ours.step(torch.zeros(0, IN), torch.zeros(0, HIDDEN)).shape == (0, HIDDEN)


def test_a_state_never_passes_from_one_patient_to_another() -> None:
    net, batch = model(), events([3, 4])
    with pytest.raises(ValueError, match="must be the patient_index"):
        GhostClipper(net, 1.0).clipped_sum(
            lambda: net.losses(*batch[:3], torch.zeros(7, dtype=torch.int64)), batch[3], 2
        )


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="rows must be"):
        GhostGru(IN, HIDDEN)(torch.zeros(5, IN), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(ValueError, match="rows must be"):
        GhostGru(IN, HIDDEN)(torch.zeros(5, 2, IN), torch.zeros(5, dtype=torch.int64))
    with pytest.raises(ValueError, match="at least one"):
        GhostGru(IN, 0)


def test_a_frozen_recurrence_still_passes_gradients_on() -> None:
    net, batch = model(), events([3, 4])
    whole = ghost(net, batch, 1e6, 2)
    net.lower.requires_grad_(False)
    got = ghost(net, batch, 1e6, 2)
    assert not [name for name in got if name.startswith("lower")]
    for name, value in got.items():
        torch.testing.assert_close(value, whole[name])
