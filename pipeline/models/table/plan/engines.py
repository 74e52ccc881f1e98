"""The engines by name: what `train.table.engine` may say, and what a card calls each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pipeline.refusal import Refusal

MIXTURE, DP_CTGAN, CTGAN = "mixture", "dp-ctgan", "ctgan"


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """title: as cards name it. critic_share: of the squared noise budget, for a critic; 0: the
    engine has none. has_guarantee: whether what it makes may be charged and released.
    """

    title: str
    critic_share: float = 0.0
    has_guarantee: bool = True


ENGINES: Mapping[str, EngineFacts] = MappingProxyType(
    {
        MIXTURE: EngineFacts(title="mixture of noisy marginals"),
        DP_CTGAN: EngineFacts(
            title="DP-CTGAN: a conditional GAN on noisy marginals, its critic trained by DP-SGD",
            critic_share=0.05,
        ),
        CTGAN: EngineFacts(title="CTGAN, without privacy", has_guarantee=False),
    }
)


def check_engine(name: str) -> None:
    """Raises Refusal for an engine that does not exist."""
    if name not in ENGINES:
        raise Refusal(f"train.table.engine must be one of {', '.join(ENGINES)}, got {name!r}")


def check_plannable(name: str, critic_share: float) -> None:
    """Raises Refusal for an engine that nothing may be planned, charged or released with, and for a
    share of the budget that is not for this engine.
    """
    facts = ENGINES[name]
    if not facts.has_guarantee:
        private = ", ".join(key for key, one in ENGINES.items() if one.has_guarantee)
        raise Refusal(
            f"train.table.engine: {name} learns without differential privacy, so no release, quote"
            f" or saved model is planned with it; nothing was charged. Take one of {private}. On"
            " public and simulated data pipeline/models/table/fit/without_privacy.py fits it, for"
            " comparisons only (docs/table_model.md, Engines)"
        )
    if facts.critic_share == 0 and critic_share > 0:
        raise Refusal(
            f"train.table.critic_share is {critic_share:g}, and the engine {name} has no critic:"
            f" leave the share out, or take the engine {DP_CTGAN}"
        )
    if facts.critic_share > 0 and critic_share == 0:
        raise Refusal(
            f"train.table.critic_share is 0, and the engine {name} is nothing without its critic:"
            f" give a share above 0, or take the engine {MIXTURE}"
        )
