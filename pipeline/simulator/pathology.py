"""The tumour itself: code, morphology, grade, receptors, Gleason, driver mutations (simulator.md
3.1, 3.3, 3.7).
"""

from typing import Any

import numpy as np

from pipeline.schema.codes import tumour_sites
from pipeline.simulator import draw
from pipeline.simulator.draw import MISSING, Bools, Ints, Texts
from pipeline.simulator.parameters import cells, load, of_cell
from pipeline.simulator.values import Pathology, People, Tumours


def pathology(people: People, tumours: Tumours, seed: int) -> Pathology:
    rng = draw.stream(seed, "pathology")
    morphology = _morphologies(rng, tumours)
    code4 = _codes4(rng, tumours, morphology)
    sites = tumour_sites.sites()
    behaviour = np.array([sites[code].behaviours[0] for code in tumours.site], dtype=object)
    paired = np.array([sites[code].paired for code in tumours.site])
    laterality = np.where(
        paired,
        draw.choose(rng, {"R": 49, "L": 47, "9": 3, "B": 1}, len(paired)),
        draw.choose(rng, {"9": 98, "M": 2}, len(paired)),
    )
    er, pr, her2, positive, triple = _receptors(rng, tumours)
    group = np.array([cell.group for cell in cells()])[tumours.cell]
    egfr, alk, braf = _mutations(rng, people, tumours, group, morphology)
    return Pathology(
        morphology=morphology,
        code4=code4,
        icdo3=np.array(
            [sites[s].icdo3_of(c) for s, c in zip(tumours.site, code4, strict=True)], dtype=object
        ),
        behaviour=behaviour,
        laterality=laterality,
        er=er,
        pr=pr,
        her2=her2,
        her2_positive=positive,
        triple_negative=triple,
        egfr=egfr,
        alk=alk,
        braf=braf,
        drug_class=_drug_classes(group, tumours, morphology, positive, egfr, alk, braf),
    )


def grades(tumours: Tumours, triple_negative: Bools, seed: int) -> Texts:
    """GRADE: known shares per cell; triple-negative breast mostly G3."""
    rng, raw, answer = (
        draw.stream(seed, "grade"),
        load(),
        np.full(len(tumours.cell), "GX", dtype=object),
    )
    for index, rows in draw.by_key(tumours.cell):
        shares, recorded = of_cell(raw["grades"], cells()[index])
        value = np.array(["G1", "G2", "G3", "G4"], dtype=object)[
            draw.choose_index(rng, np.array(shares, dtype=float), len(rows))
        ]
        answer[rows] = np.where(rng.random(len(rows)) < recorded, value, "GX")
    forced = triple_negative & (rng.random(len(answer)) < raw["subtypes"]["g3_triple_negative"])
    answer[forced] = "G3"
    return answer


def gleason(tumours: Tumours, column: Ints, seed: int) -> tuple[Texts, Texts, Texts, Texts]:
    """Primary, secondary, tertiary, combined as text; stage 4 leans to high sums."""
    rng, raw, n = draw.stream(seed, "gleason"), load()["gleason"], len(column)
    pairs = [key for key in raw if "+" in key]
    sums = np.array([int(pair[0]) + int(pair[2]) for pair in pairs])
    primary, secondary, tertiary, combined = (np.full(n, None, dtype=object) for _ in range(4))
    prostate = np.array([cell.group == "Prostate" for cell in cells()])[tumours.cell]
    rows = np.flatnonzero(prostate & (rng.random(n) < raw["recorded"]))
    effect = np.outer(raw["high_per_stage4"] * (column[rows] == 3), sums >= 8)
    if len(rows):
        pick = draw.choose_rows(
            rng, draw.tilted(np.array([raw[pair] for pair in pairs], dtype=float), effect)
        )
        primary[rows] = np.array([pair[0] for pair in pairs], dtype=object)[pick]
        secondary[rows] = np.array([pair[2] for pair in pairs], dtype=object)[pick]
        combined[rows] = np.array([str(s) for s in sums], dtype=object)[pick]
        third = rng.random(len(rows)) < 0.04
        tertiary[rows[third]] = "5"
    return primary, secondary, tertiary, combined


def _morphologies(rng: np.random.Generator, tumours: Tumours) -> Texts:
    raw, answer = load(), np.empty(len(tumours.cell), dtype=object)
    childhood = raw["childhood_morphologies"]
    for index, in_cell in draw.by_key(tumours.cell):
        own = cells()[index].morphologies
        for code, some in draw.by_key(tumours.site[in_cell].astype(str)):
            rows = in_cell[some]
            answer[rows] = draw.choose(rng, own or _weights(code), len(rows))
            if code in childhood:
                young = rows[tumours.age[rows] < raw["childhood_age"]]
                answer[young] = childhood[code]
    return answer


def _weights(code: str) -> dict[str, float]:
    """Weights of the morphologies of a site, but for the one that only children have."""
    raw, site = load(), tumour_sites.sites()[code]
    childhood = raw["childhood_morphologies"].get(code)
    legal = [m for m in site.morphologies if m != childhood] or list(site.morphologies)
    likely = raw["morphologies"].get(code, raw["morphologies"].get(site.group, {}))
    recorded = {m: w for m, w in likely.items() if m in legal}
    rest = [m for m in legal if m not in recorded]
    spare = max(100 - sum(recorded.values()), raw["other_morphologies"]) if recorded else 100
    return {**recorded, **{m: spare / len(rest) for m in rest}}


def _codes4(rng: np.random.Generator, tumours: Tumours, morphology: Texts) -> Texts:
    fixed, answer = load()["code4_of_morphology"], np.empty(len(morphology), dtype=object)
    fourths = load()["fourths"]
    for code, rows in draw.by_key(tumours.site.astype(str)):
        if code in fourths:
            answer[rows] = code + draw.choose(rng, fourths[code], len(rows))
            continue
        legal = [c for c in tumour_sites.sites()[code].codes4 if c not in fixed.values()] or list(
            tumour_sites.sites()[code].codes4
        )
        answer[rows] = np.array(legal, dtype=object)[rng.integers(0, len(legal), len(rows))]
        for value, code4 in fixed.items():
            if code4.startswith(code):
                answer[rows[morphology[rows] == value]] = code4
    return answer


def _receptors(
    rng: np.random.Generator, tumours: Tumours
) -> tuple[Texts, Texts, Texts, Bools, Bools]:
    raw, n = load()["subtypes"], len(tumours.cell)
    er, pr, her2 = (np.full(n, None, dtype=object) for _ in range(3))
    breast = np.array([cell.group == "Breast" for cell in cells()])[tumours.cell]
    rows = np.flatnonzero(breast)
    shares = np.array(
        [raw["hr_her2neg"], raw["hr_her2pos"], raw["hrneg_her2pos"], raw["triple_negative"]]
    )
    effect = np.outer(-raw["hr_per_year"] * (tumours.age[rows] - 62), [0, 0, 1, 1])
    subtype = (
        draw.choose_rows(rng, draw.tilted(shares, effect))
        if len(rows)
        else np.zeros(0, dtype=np.int64)
    )
    positive, triple = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    positive[rows], triple[rows] = np.isin(subtype, [1, 2]), subtype == 3
    in_situ = np.array([cell.in_situ for cell in cells()])[tumours.cell[rows]]
    recorded = rng.random(len(rows)) < np.where(in_situ, raw["recorded_in_situ"], raw["recorded"])
    er_value = np.where(subtype <= 1, "P", "N")
    pr_value = np.where((subtype <= 1) & (rng.random(len(rows)) < raw["pr_given_hr"]), "P", "N")
    her2_value = np.where(
        np.isin(subtype, [1, 2]), "P", draw.choose(rng, {"N": 96, "B": 4}, len(rows))
    )
    for array, value in ((er, er_value), (pr, pr_value), (her2, her2_value)):
        array[rows] = np.where(recorded, value, np.where(rng.random(len(rows)) < 0.3, "U", MISSING))
        array[rows[rng.random(len(rows)) < 0.004]] = "X"
    return er, pr, her2, positive, triple


def _mutations(
    rng: np.random.Generator, people: People, tumours: Tumours, group: Any, morphology: Texts
) -> tuple[Bools, Bools, Bools]:
    raw, n = load()["mutations"], len(group)
    woman, asian = people.sex[tumours.patient] == "2", people.asian[tumours.patient]
    adeno = (group == "Lung") & (morphology == "8140")
    chance = np.where(woman, raw["EGFR"]["female"], raw["EGFR"]["male"]) * np.where(
        asian, raw["EGFR"]["asian_factor"], 1
    )
    egfr = adeno & (rng.random(n) < chance)
    alk = adeno & ~egfr & (rng.random(n) < raw["ALK"])
    braf = rng.random(n) < np.select(
        [group == g for g in raw["BRAF"]], list(raw["BRAF"].values()), 0.0
    )
    return egfr, alk, braf


def _drug_classes(
    group: Any,
    tumours: Tumours,
    morphology: Texts,
    her2: Bools,
    egfr: Bools,
    alk: Bools,
    braf: Bools,
) -> Texts:
    site, lymphoma, leukaemia = tumours.site, group == "Lymphoma", group == "Leukaemia"
    conditions = [
        np.isin(site, ["D09", "D41"]),
        np.isin(site, ["D46", "D47"]),
        (group == "Lung") & (morphology == "8041"),
        egfr,
        alk,
        her2,
        (group == "Melanoma") & braf,
        site == "C81",
        lymphoma & np.isin(site, ["C84", "C86"]),
        lymphoma & (np.isin(site, ["C82", "C88"]) | (morphology == "9673")),
        lymphoma,
        leukaemia & (morphology == "9823"),
        leukaemia & np.isin(morphology, ["9863", "9875"]),
        leukaemia & np.isin(morphology, ["9835", "9836", "9837"]),
        leukaemia,
    ]
    names = [
        "intravesical",
        "marrow",
        "SCLC",
        "EGFR",
        "ALK",
        "HER2",
        "BRAF",
        "Hodgkin",
        "T-cell",
        "indolent",
        "aggressive",
        "CLL",
        "CML",
        "ALL",
        "AML",
    ]
    return np.select(
        conditions, [np.array(name, dtype=object) for name in names], np.array("", dtype=object)
    )
