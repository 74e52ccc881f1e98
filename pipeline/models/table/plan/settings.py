"""Settings of the table model: public numbers from params.yaml, fixed before a row is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from pipeline.models.table.plan.engines import ENGINES, MIXTURE, check_engine
from pipeline.refusal import Refusal

_SHARES = ("bins", "one_ways", "coarse", "choice", "again", "target", "pivot", "critic")
_POSITIVE = (
    "epsilon",
    "learning_rate",
    "critic_clip_norm",
    "critic_weight_limit",
    "critic_learning_rate",
    "generator_learning_rate",
)
_COUNTS = (
    "max_groups",
    "max_leaves",
    "coarse_groups",
    "codes",
    "steps",
    "first_steps",
    "pivot_columns",
    "pivot_groups",
    "network_steps",
    "critic_steps",
    "critic_batch",
    "critic_per_generator",
)


@dataclass(frozen=True, kw_only=True)
class TableSettings:
    """Shares are of the squared noise budget, the sum of 1/sigma^2 over all mechanisms: the
    critic's of the whole, the others' of what the critic leaves; looks at pairs take the rest. A
    share of None follows from declared sizes (shares.py).

    `epsilon` is the release's, as a hint only: it picks the number of bins and the shares. The
    noise itself comes from the joint accounting (`scale` in TablePlan), so a wrong hint costs
    utility, never privacy.
    """

    engine: str = MIXTURE  # plan/engines.py: what shapes the model from the noisy counts
    epsilon: float = 1.0
    # bins of a numeric column; None: 20, 32 from epsilon 0, 3 on
    max_bins: int | None = None
    # groups of a categorical column; rarer categories share one group
    max_groups: int = 64
    max_leaves: int = 1024  # leaves of the public grid under the bins, at most
    bins_share: float | None = None  # trees over the public grids
    one_ways_share: float | None = None  # one block of counts per column
    coarse_share: float | None = None  # pairs of columns with an order over coarse groups
    coarse_groups: int = 6  # of a column at the coarse look
    choice_share: float | None = None  # the private choice of pairs; 0 = every pair is looked at
    looks: float | None = None  # part of all pairs that are looked at; 1 = every pair
    again_share: float | None = None  # where every pair is looked at: the most dependent once more
    again_part: float = 0.4  # of all pairs
    # every column with a declared target once more; 0 = the target is drawn as any column
    target_share: float | None = None
    # coarse pairs of the columns closest to a target, per class of it; 0 = off
    pivot_share: float | None = None
    pivot_columns: int = 5  # how many columns are close
    pivot_groups: int = 6  # coarse groups of each
    target_classes: int = 4  # a target with more classes is drawn as any column
    # weight of a column's counts, and of a pair where every pair is looked at = cells ** exponent
    one_way_exponent: float = 0.8
    pair_exponent: float = 0.4
    shrink: bool = True  # shrink the known noise out of pairs before the fit
    # a leaf much heavier than its neighbours stands at its roundest number
    heaps: bool = True
    edges: bool = True  # tie strongly dependent numeric columns beyond the codes
    critic_share: float | None = None  # DP-SGD critic; None: the engine's own
    # of the mixture: distil the latent table into the residual network
    network: bool = False
    codes: int = 500  # latent codes
    # steps of the fit to the noisy marginals: free, no row is read
    steps: int = 1000
    learning_rate: float = 0.4
    first_steps: int = 300  # of the fit to what is measured before the choice
    spread: float = 0.3  # of the codes at the start, standard deviation of logits
    divergence_weight: float = 0.02  # KL from the one-way targets, keeps rare values alive
    forbidden_weight: float = 0.3  # of a patient in a cell that implications forbid
    network_steps: int = 300  # of each of the network's two fits to noisy counts
    condition_weight: float = 0.002  # of the cross-entropy of what the conditional vectors ask for
    critic_steps: int = 300
    critic_batch: int = 500  # expected rows per critic step, a public constant
    critic_per_generator: int = 5
    critic_clip_norm: float = 1.0  # l2_clip_norm of one row's gradient
    # weights are clipped to [-limit, limit] (Arjovsky et al. 2017)
    critic_weight_limit: float = 0.05
    critic_width: int = 64
    critic_learning_rate: float = 2e-3
    generator_learning_rate: float = 5e-4  # against the critic
    critic_pull: float = 1.0  # weight of the critic in the generator's loss
    # public seed of initial weights and generated rows, never of noise
    seed: int = 1

    def __post_init__(self) -> None:
        check_engine(self.engine)
        for name in _SHARES:
            share = getattr(self, f"{name}_share")
            if share is not None and not 0 <= share < 1:
                raise Refusal(f"train.table.{name}_share must be in [0, 1), got {share}")
        if 0 in (self.bins_share, self.one_ways_share):
            raise Refusal(
                "train.table: bins_share and one_ways_share must be above 0, the model cannot do"
                " without them"
            )
        for name in ("again_part", "looks"):
            part = getattr(self, name)
            if part is not None and not 0 < part <= 1:
                raise Refusal(f"train.table.{name} must be in (0, 1], got {part}")
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                raise Refusal(f"train.table.{name} must be above 0, got {getattr(self, name)}")
        for name in _COUNTS:
            if getattr(self, name) < 1:
                raise Refusal(f"train.table.{name} must be at least 1, got {getattr(self, name)}")

    @property
    def critic_part(self) -> float:
        """Share of the critic."""
        if self.critic_share is not None:
            return self.critic_share
        return ENGINES[self.engine].critic_share

    @property
    def bins(self) -> int:
        """Most bins of a numeric column."""
        if self.max_bins is not None:
            return self.max_bins
        return 20 if self.epsilon < 3 else 32


def from_mapping(values: Mapping[str, Any], *, epsilon: float) -> TableSettings:
    """Settings from params.yaml `train.table`. Raises Refusal for a key that does not exist."""
    names = {field.name for field in fields(TableSettings)}
    unknown = sorted(set(values) - names)
    if unknown:
        raise Refusal(
            f"train.table has no setting {', '.join(unknown)}; there are {', '.join(sorted(names))}"
        )
    return replace(TableSettings(epsilon=epsilon), **dict(values))
