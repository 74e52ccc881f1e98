"""How each peer is fitted: bench/peers/generate.py runs one of these inside the peer's own
environment.

A peer whose API takes a domain gets it and spends nothing to learn it; everything else is the
peer's documented default unless its function says otherwise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MISSING = "(missing)"  # a category of its own for the peers that take no null

FLAG = " is missing"  # after a number: the column that says so

CTGAN_EPOCHS = 30

AIM_MODEL_MB = 1

DPMM_BINS_EPSILON = 0.1  # dpmm's default for its bins

MOSTLYAI_MINUTES = 10  # the engine's own limit is ten days

MOSTLYAI_NOISE = 1.5  # its default noise multiplier

MOSTLYAI_EPOCHS = 10  # what the budget must at least last for

SMARTNOISE_BATCH = 500  # its default

Columns = Mapping[str, Mapping[str, Any]]

Draw = Callable[[int], pd.DataFrame]  # rows -> as many synthetic rows


@dataclass(frozen=True)
class Job:
    """What a fit may know beside the rows. `epsilon` is the whole budget; peers without privacy
    ignore it.
    """

    columns: Columns
    epsilon: float
    delta: float
    seed: int

    @property
    def discrete(self) -> list[str]:
        return [name for name, column in self.columns.items() if column["kind"] != "continuous"]

    def categories(self, name: str) -> list[str]:
        """Declared values, `MISSING` among them where the column may be missing."""
        column = self.columns[name]
        return [*column["categories"], *([MISSING] if column["nullable"] else [])]


def coded(train: pd.DataFrame, job: Job) -> pd.DataFrame:
    """The rows with missing categories as `MISSING`; strings as plain objects. Raises ValueError
    where a number is missing.
    """
    out = train.copy()
    for name in job.discrete:
        out[name] = train[name].astype(object).where(train[name].notna(), MISSING)
    empty = [name for name in out.columns if out[name].isna().any()]
    if empty:
        raise ValueError(f"numbers are missing in {empty}: no peer here is told how to code them")
    return out


def flagged(train: pd.DataFrame, job: Job) -> pd.DataFrame:
    """Each number that may be missing with a column of its own that says whether it is; where it
    is, the number is its lower bound. For peers that take no null.
    """
    out = train.copy()
    for name, column in job.columns.items():
        if name not in job.discrete and column["nullable"]:
            out[name + FLAG] = np.where(train[name].isna(), "yes", "no")
            out[name] = train[name].fillna(column["lower"])
    return out


def unflagged(rows: pd.DataFrame) -> pd.DataFrame:
    """Drawn rows as `flagged` found them: missing again, without the columns that say so."""
    flags = [name for name in rows.columns if name.endswith(FLAG)]
    out = rows.drop(columns=flags)
    for flag in flags:
        name = flag.removesuffix(FLAG)
        out[name] = out[name].where(rows[flag] != "yes")
    return out


def dpmm_mst(train: pd.DataFrame, job: Job) -> Draw:
    """MST with its defaults: PrivTree bins and domain compression. Its bins' default .1 is taken
    out of epsilon, not added to it.
    """
    from dpmm.pipelines import MSTPipeline

    return _dpmm(MSTPipeline, train, job)


def dpmm_aim(train: pd.DataFrame, job: Job) -> Draw:
    """AIM, as MST, with a model of at most 1 MB: the library's own choice, no limit, runs for many
    hours.
    """
    from dpmm.pipelines import AIMPipeline

    return _dpmm(AIMPipeline, train, job, max_model_size=AIM_MODEL_MB)


def _dpmm(pipeline: Any, train: pd.DataFrame, job: Job, **settings: Any) -> Draw:
    """Categories and bounds are passed in. One process. The library seeds its choices; its noise
    comes from OpenDP and has no seed.

    A table without numbers has no bins to learn, and the model gets all of epsilon.
    """
    rows = flagged(train, job)
    flags = [name for name in rows.columns if name not in job.columns]
    domain = {
        name: (
            {"categories": job.categories(name)}
            if name in job.discrete
            else {"lower": column["lower"], "upper": column["upper"]}
        )
        for name, column in job.columns.items()
    } | {flag: {"categories": ["no", "yes"]} for flag in flags}
    of_bins = DPMM_BINS_EPSILON if len(job.discrete) < len(job.columns) else 0.0
    model = pipeline(
        epsilon=job.epsilon - of_bins,
        delta=job.delta,
        proc_epsilon=DPMM_BINS_EPSILON,
        n_jobs=1,
        **settings,
    )
    model.fit(coded(rows, job), domain=domain, random_state=job.seed)
    return lambda n: unflagged(model.generate(n_records=n, random_state=job.seed))


def smartnoise_dpctgan(train: pd.DataFrame, job: Job) -> Draw:
    """DPCTGAN with its defaults, sigma 5 and at most 300 epochs, on CPU. Encoders are fitted to the
    declared domain, so none is learned.

    Fewer rows than its batch of 500 give a sampling rate above 1, which it refuses: the batch is
    then a tenth of the rows, made even. It stops after the epoch in which the budget was passed, so
    it spends more than epsilon: 1.21 for 1 on hr_attrition, by its own account.
    """
    import torch
    from snsynth.pytorch.nn import DPCTGAN
    from snsynth.transform import (
        ChainTransformer,
        LabelTransformer,
        MinMaxTransformer,
        OneHotEncoder,
    )
    from snsynth.transform.table import TableTransformer

    def encoder(name: str) -> Any:
        if name not in job.discrete:
            return _fit(
                MinMaxTransformer(
                    lower=job.columns[name]["lower"], upper=job.columns[name]["upper"]
                ),
                [job.columns[name]["lower"]],
            )
        return _fit(
            ChainTransformer([LabelTransformer(nullable=False), OneHotEncoder()]),
            job.categories(name),
        )

    np.random.seed(job.seed)
    torch.manual_seed(job.seed)
    batch = SMARTNOISE_BATCH if len(train) > SMARTNOISE_BATCH else len(train) // 20 * 2
    model = DPCTGAN(
        epsilon=job.epsilon, delta=job.delta, batch_size=batch, cuda=False, verbose=False
    )
    model.fit(
        coded(train, job), transformer=TableTransformer([encoder(name) for name in train.columns])
    )
    return model.sample


def _fit(encoder: Any, values: list[Any]) -> Any:
    encoder.fit(values)
    return encoder


def mostlyai(train: pd.DataFrame, job: Job) -> Draw:
    """TabularARGN (medium) without privacy: the engine's defaults, with training cut at 10 minutes.
    It takes no domain; nulls as they are.
    """
    return _mostlyai(train, job, None)


def mostlyai_dp(train: pd.DataFrame, job: Job) -> Draw:
    """TabularARGN with DP-SGD. It takes no domain: a tenth of epsilon protects values, the share of
    its defaults (1 of 10).

    The noise multiplier is the default 1.5, or more where ten epochs would not fit into the budget:
    the engine keeps weights that have passed the budget when the first epoch already does. Its
    smallest batch is 8 rows, its largest a 64th of the training part (.8 of the rows), which bounds
    the sampling rate.
    """
    from mostlyai.engine.domain import DifferentialPrivacyConfig
    from opacus.accountants.utils import get_noise_multiplier

    of_values = job.epsilon / 10
    rate = max(8 / (0.8 * len(train)), 1 / 64)
    enough = get_noise_multiplier(
        target_epsilon=job.epsilon - of_values,
        target_delta=job.delta,
        sample_rate=rate,
        epochs=MOSTLYAI_EPOCHS,
        accountant="rdp",
    )
    return _mostlyai(
        train,
        job,
        DifferentialPrivacyConfig(
            max_epsilon=job.epsilon,
            delta=job.delta,
            value_protection_epsilon=of_values,
            noise_multiplier=max(MOSTLYAI_NOISE, enough),
        ),
    )


def _mostlyai(train: pd.DataFrame, job: Job, privacy: Any) -> Draw:
    """Columns keep their declared kind. A value that was protected as rare is drawn as one of the
    others, not as its `_RARE_` mark.
    """
    from mostlyai.engine import TabularARGN

    kinds = {
        name: "TABULAR_CATEGORICAL" if name in job.discrete else "TABULAR_NUMERIC_AUTO"
        for name in job.columns
    }
    model = TabularARGN(
        max_training_time=MOSTLYAI_MINUTES,
        differential_privacy=privacy,
        tgt_encoding_types=kinds,
        device="cpu",
        random_state=job.seed,
    )
    model.fit(train)
    return lambda rows: model.sample(n_samples=rows, rare_category_replacement_method="SAMPLE")


def ctgan(train: pd.DataFrame, job: Job) -> Draw:
    """CTGAN without privacy: defaults but 30 epochs of its 300, on CPU. It takes no domain."""
    from ctgan import CTGAN

    model = CTGAN(epochs=CTGAN_EPOCHS, enable_gpu=False)
    model.set_random_state(job.seed)
    model.fit(coded(train, job), discrete_columns=job.discrete)
    return model.sample


@dataclass(frozen=True)
class Peer:
    fit: Callable[[pd.DataFrame, Job], Draw]
    distribution: str  # as on the registry
    module: str  # imported before the clock starts


PEERS: Mapping[str, Peer] = {
    "dpmm-aim": Peer(dpmm_aim, "dpmm", "dpmm.pipelines"),
    "dpmm-mst": Peer(dpmm_mst, "dpmm", "dpmm.pipelines"),
    "smartnoise-dpctgan": Peer(smartnoise_dpctgan, "smartnoise-synth", "snsynth.pytorch.nn"),
    "mostlyai-dp": Peer(mostlyai_dp, "mostlyai-engine", "mostlyai.engine"),
    "mostlyai": Peer(mostlyai, "mostlyai-engine", "mostlyai.engine"),
    "ctgan": Peer(ctgan, "ctgan", "ctgan"),
}
