"""What ran, as a card lists it: each mechanism with its noise."""

from __future__ import annotations

from typing import Any

import dp_accounting as dpa

from pipeline.dp.events import DiscreteGaussianDpEvent, ExponentialMechanismDpEvent, flatten


def mechanisms(event: dpa.DpEvent) -> list[dict[str, Any]]:
    """One line per mechanism and noise level: {mechanism, times, noise}."""
    return [_described(leaf, times) for leaf, times in flatten(event).items()]


def _described(leaf: dpa.DpEvent, times: int) -> dict[str, Any]:
    if isinstance(leaf, DiscreteGaussianDpEvent):
        return {
            "mechanism": "counts with discrete Gaussian noise",
            "times": times,
            "noise": f"sigma {leaf.sigma:g}",
            "sigma": leaf.sigma,
        }
    if isinstance(leaf, dpa.PoissonSampledDpEvent):
        chance, multiplier = leaf.sampling_probability, leaf.event.noise_multiplier
        return {
            "mechanism": "DP-SGD step on a Poisson sample of patients",
            "times": times,
            "noise": f"noise multiplier {multiplier:.4g}, sampling probability {chance:.4g}",
        }
    if isinstance(leaf, ExponentialMechanismDpEvent):
        return {
            "mechanism": "pick of a private choice (exponential mechanism)",
            "times": times,
            "noise": f"epsilon {leaf.epsilon:.4g} of a pick",
        }
    return {"mechanism": type(leaf).__name__, "times": times, "noise": str(leaf)}
