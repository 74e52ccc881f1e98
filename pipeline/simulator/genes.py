"""Gene tests: one row per tested gene and tumour (simulator.md 3.7)."""

import numpy as np

from pipeline.schema.codes import gene_panel
from pipeline.schema.codes.gene_panel import ABNORMAL, FAILED, NORMAL
from pipeline.simulator import draw
from pipeline.simulator.draw import Bools, Ints
from pipeline.simulator.parameters import cells, load
from pipeline.simulator.values import (
    Clinical,
    GeneTests,
    Pathology,
    Tumours,
)


def gene_tests(tumours: Tumours, pathology: Pathology, clinical: Clinical, seed: int) -> GeneTests:
    rng, raw = draw.stream(seed, "genes"), load()["genes"]
    group = np.array([cell.group for cell in cells()])[tumours.cell]
    late = np.isin(clinical.stage_column, [2, 3])
    # one coin per tumour: a tumour tested for one gene tends to be tested for all
    willing = rng.random(len(group))
    truths = {
        ("EGFR", "Lung"): pathology.egfr,
        ("ALK", "Lung"): pathology.alk,
        ("BRAF", "Colon"): pathology.braf,
        ("BRAF", "Rectum"): pathology.braf,
        ("BRAF", "Melanoma"): pathology.braf,
    }
    results = []
    for index, gene in enumerate(gene_panel.genes().values()):
        for test in gene.tests:
            own = 0.7 * willing + 0.3 * rng.random(len(group))
            rows = np.flatnonzero(
                (group == test.group)
                & (~np.array(test.late_only) | late)
                & ((test.morphology is None) | (pathology.morphology == test.morphology))
                & (
                    own
                    < np.quantile(
                        0.7 * np.linspace(0, 1, 201)[:, None] + 0.3 * np.linspace(0, 1, 201),
                        min(test.tested * raw["tested"], 1),
                    )
                )
            )
            truth = truths.get((gene.symbol, test.group))
            abnormal = truth[rows] if truth is not None else rng.random(len(rows)) < test.abnormal
            results.append((rows, np.full(len(rows), index), abnormal))
    tumour, gene_index, abnormal = (np.concatenate([f[i] for f in results]) for i in range(3))
    order = np.lexsort((gene_index, tumour))
    return _rows(rng, tumours, tumour[order], gene_index[order], abnormal[order])


def _rows(
    rng: np.random.Generator, tumours: Tumours, tumour: Ints, gene: Ints, abnormal: Bools
) -> GeneTests:
    raw, n = load(), len(tumour)
    base = np.zeros(len(tumours.cell), dtype=np.int64)
    base[:] = np.clip(draw.lognormal_of(rng, raw["genes_dates"], len(base)), 1, 300)
    first = tumours.day[tumour] + base[tumour] + rng.integers(0, 4, n)
    last = first + np.where(rng.random(n) < raw["genes"]["repeat"], rng.integers(7, 60, n), 0)
    failed = rng.random(n) < raw["genes"]["failed"]
    status = np.where(failed, FAILED, np.where(abnormal, ABNORMAL, NORMAL)).astype(object)
    variant = np.full(n, None, dtype=object)
    method = np.empty(n, dtype=object)
    for index, rows in draw.by_key(gene) if n else []:
        one = list(gene_panel.genes().values())[index]
        hit = rows[status[rows] == ABNORMAL]
        if one.variants:
            variant[hit] = np.array(one.variants, dtype=object)[
                rng.integers(0, len(one.variants), len(hit))
            ]
        methods = {
            "DNASEQ_GAT": {"NGS": 55, "PCR": 45},
            "METHYL_GAT": {"PCR": 60, "MLPA": 40},
            "EXP_GAT": {"IHC": 100},
            "COPYNO_GAT": {"FISH": 100},
            "FUS_TRANS_GAT": {"FISH": 60, "IHC": 40},
        }[one.kind]
        method[rows] = draw.choose(rng, methods, len(rows))
    return GeneTests(
        tumour=tumour,
        gene=gene,
        first_day=first,
        last_day=last,
        overall_day=np.where(rng.random(n) < 0.5, first, last),
        status=status,
        variant=variant,
        method=method,
        lab=draw.choose(rng, {f"LAB {c}": 20 for c in "ABCDE"}, n),
        molecular=rng.random(n) < 0.75,
    )
