"""SIM_RTDS_EPISODE, _PRESCRIPTION, _EXPOSURE and their join SIM_RTDS_COMBINED
(registry_tables.md 1.3; simulator.md 3.5).
"""

import numpy as np
import polars as pl

from pipeline.schema.codes import radiotherapy_schedules
from pipeline.schema.codes.radiotherapy_schedules import BRACHYTHERAPY, PALLIATIVE
from pipeline.simulator import draw
from pipeline.simulator.draw import MISSING, Bools, Ints, Texts
from pipeline.simulator.parameters import cells, load
from pipeline.simulator.radiotherapy import attendance_days, schedule_list
from pipeline.simulator.values import FIRST_EVENT_DAY, Episodes, View
from pipeline.simulator.view import dates, texts

EPISODE_BASE, PRESCRIPTION_BASE = 30_000_001, 40_000_001
CLINIC_OPENS, CLINIC_CLOSES = 8 * 60, 18 * 60  # minutes of the day
# invented organisations: L and two letters, such as LKY
PROVIDERS_PER_REGION = 7
PROVIDERS = np.array([f"L{a}{b}" for a in "BDGHKMPT" for b in "AEIOUYX"], dtype=object)
LINKS = ["PATIENTID", "RADIOTHERAPYEPISODEID", "ATTENDID", "APPTDATE", "LINKCODE"]
PRESCRIPTION = [
    "PATIENTID",
    "PRESCRIPTIONID",
    "RTTREATMENTMODALITY",
    "RTPRESCRIBEDDOSE",
    "RTPRESCRIBEDFRACTIONS",
    "RTACTUALDOSE",
    "RTACTUALFRACTIONS",
    "RTTREATMENTREGION",
    "RTTREATMENTANATOMICALSITE",
    "RADIOTHERAPYEPISODEID",
    "LINKCODE",
    "ATTENDID",
    "APPTDATE",
]
EXPOSURE = [
    "PRESCRIPTIONID",
    "RADIOISOTOPE",
    "RADIOTHERAPYBEAMTYPE",
    "RADIOTHERAPYBEAMENERGY",
    "TIMEOFEXPOSURE",
    "APPTDATE",
    "ATTENDID",
    "PATIENTID",
    "RADIOTHERAPYEPISODEID",
    "LINKCODE",
]
COMBINED = [
    "PATIENTID",
    "PRESCRIPTIONID",
    "RTTREATMENTMODALITY",
    "RADIOTHERAPYPRIORITY",
    "RADIOTHERAPYINTENT",
    "RTPRESCRIBEDDOSE",
    "RTPRESCRIBEDFRACTIONS",
    "RTACTUALDOSE",
    "RTACTUALFRACTIONS",
    "RTTREATMENTREGION",
    "RTTREATMENTANATOMICALSITE",
    "DECISIONTOTREATDATE",
    "EARLIESTCLINAPPROPDATE",
    "RADIOTHERAPYEPISODEID",
    "LINKCODE",
    "RADIOISOTOPE",
    "RADIOTHERAPYBEAMTYPE",
    "RADIOTHERAPYBEAMENERGY",
    "TIMEOFEXPOSURE",
    "APPTDATE",
    "ATTENDID",
]


def rtds_tables(view: View, seed: int) -> dict[str, pl.DataFrame]:
    """The four radiotherapy tables: one row per attendance in episode and prescription, one per
    beam of an attendance in exposure and combined.
    """
    rows = _attendances(view, view.latent.episodes, seed)
    beams = _exposures(rows)
    return {
        "sim_rtds_episode": rows.select(
            [
                *LINKS,
                "DECISIONTOTREATDATE",
                "EARLIESTCLINAPPROPDATE",
                "RADIOTHERAPYPRIORITY",
                "RADIOTHERAPYINTENT",
            ]
        ),
        "sim_rtds_prescription": rows.select(PRESCRIPTION),
        "sim_rtds_exposure": beams.select(EXPOSURE),
        "sim_rtds_combined": beams.select(COMBINED),
    }


def _attendances(view: View, episodes: Episodes, seed: int) -> pl.DataFrame:
    schedules = schedule_list()
    dose = np.array([s.dose for s in schedules])[episodes.schedule]
    fractions = np.array([s.fractions for s in schedules])[episodes.schedule]
    index, day = attendance_days(episodes.start, episodes.delivered, dose / fractions)
    who = view.latent.tumours.patient[episodes.tumour]
    free = _first_of_its_day(who[index], day)
    index, day = index[free], day[free]
    is_visible = view.tumour_seen[episodes.tumour][index] & (day <= view.end[who][index])
    delivered = np.bincount(index[is_visible], minlength=len(dose))
    rng = draw.stream(seed, "exposures")
    minute = np.clip(
        rng.integers(CLINIC_OPENS, CLINIC_CLOSES, len(dose))[index]
        + rng.integers(-20, 21, len(index)),
        CLINIC_OPENS,
        CLINIC_CLOSES,
    )
    frame = _episode_columns(view, episodes, seed).with_columns(
        RTPRESCRIBEDDOSE=pl.Series(dose),
        RTPRESCRIBEDFRACTIONS=pl.Series(fractions),
        RTACTUALDOSE=pl.Series(np.round(dose * delivered / fractions, 2)),
        RTACTUALFRACTIONS=pl.Series(delivered),
    )
    rows = frame[index].with_columns(
        APPTDATE=dates(day),
        minute=pl.Series(minute),
        pause=pl.Series(rng.integers(2, 6, len(index))),
    )
    rows = rows.with_columns(
        ATTENDID=pl.format("{}.{}", "PATIENTID", pl.col("APPTDATE").dt.to_string("%Y%m%d"))
    )
    return rows.filter(pl.Series(is_visible))


def _intents(view: View, episodes: Episodes, palliative: Bools) -> Texts:
    """z_radiotherapyintent: 1 adjuvant (after surgery), 2 neoadjuvant (before it), 3 radical; it
    has no code for palliative radiotherapy.
    """
    plan, tumour = view.latent.plan, episodes.tumour
    operated, day = plan.surgery[tumour], plan.surgery_day[tumour]
    intent = np.where(operated, np.where(episodes.start > day, "1", "2"), "3")
    return np.where(palliative, MISSING, intent.astype(object))


def _first_of_its_day(who: Ints, day: Ints) -> Bools:
    """Attendances but for those on a day on which the patient attends for an earlier episode: an
    attendance is named by patient and day.
    """
    first = np.zeros(len(day), dtype=bool)
    first[np.unique(who * 100_000 + day, return_index=True)[1]] = True
    return first


def _exposures(attendances: pl.DataFrame) -> pl.DataFrame:
    """One row per beam of each attendance, the beams some minutes apart."""
    beams = attendances["beams"].to_numpy()
    row = np.repeat(np.arange(len(beams)), beams)
    number = np.arange(len(row)) - np.repeat(np.cumsum(beams) - beams, beams)
    rows = attendances[row]
    minute = rows["minute"].to_numpy() + number * rows["pause"].to_numpy()
    clock = np.array([f"{m // 60:02d}:{m % 60:02d}" for m in range(24 * 60)], dtype=object)
    return rows.with_columns(TIMEOFEXPOSURE=texts(clock[minute]))


def _episode_columns(view: View, episodes: Episodes, seed: int) -> pl.DataFrame:
    """One row per episode: what all its attendances share."""
    raw, rng, n = load()["radiotherapy"], draw.stream(seed, "episode rows"), len(episodes.tumour)
    schedules, people = schedule_list(), view.latent.people
    who = view.latent.tumours.patient[episodes.tumour]
    kind, modality = (
        np.array(values, dtype=object)[episodes.schedule]
        for values in ([s.kind for s in schedules], [s.modality for s in schedules])
    )
    palliative, sealed = kind == PALLIATIVE, modality == BRACHYTHERAPY
    wait = np.where(
        palliative,
        draw.lognormal_of(rng, raw["decision_palliative"], n),
        draw.lognormal_of(rng, raw["decision"], n),
    )
    decision = np.maximum(episodes.start - wait, FIRST_EVENT_DAY)
    ready = decision + np.floor(rng.random(n) * (episodes.start - decision)).astype(np.int64)
    electron = ~sealed & ~palliative & (rng.random(n) < raw["electron"])
    energy = np.where(electron, 9.0, draw.choose(rng, raw["energy"], n).astype(float))
    isotope = np.where(sealed, "Ir192", MISSING)
    return pl.DataFrame(
        {
            "PATIENTID": people.patient_id[who],
            "RADIOTHERAPYEPISODEID": draw.shuffled_ids(n, EPISODE_BASE),
            "LINKCODE": texts(_providers(view, seed)[who]),
            "PRESCRIPTIONID": draw.shuffled_ids(n, PRESCRIPTION_BASE),
            "DECISIONTOTREATDATE": dates(decision),
            "EARLIESTCLINAPPROPDATE": dates(ready, rng.random(n) < 0.15),
            "RADIOTHERAPYPRIORITY": texts(draw.choose(rng, raw["priority"], n)),
            "RADIOTHERAPYINTENT": texts(_intents(view, episodes, palliative)),
            "RTTREATMENTMODALITY": texts(modality),
            "RTTREATMENTREGION": texts(episodes.region),
            "RTTREATMENTANATOMICALSITE": texts(_anatomical_sites(rng, view, episodes)),
            "RADIOISOTOPE": texts(isotope),
            "RADIOTHERAPYBEAMTYPE": texts(
                np.where(sealed, MISSING, np.where(electron, "T2", "T1"))
            ),
            "RADIOTHERAPYBEAMENERGY": pl.Series(energy).set(pl.Series(sealed), None),
            "beams": _beams(rng, episodes),
        }
    )


def _beams(rng: np.random.Generator, episodes: Episodes) -> Ints:
    """Exposures per attendance of each episode: one source, few palliative beams, more in curative
    treatment.
    """
    kinds = np.array([s.kind for s in schedule_list()], dtype=object)[episodes.schedule]
    beams = np.ones(len(kinds), dtype=np.int64)
    for kind, weights in load()["radiotherapy"]["beams"].items():
        rows = np.flatnonzero(kinds == kind)
        beams[rows] = draw.choose(rng, weights, len(rows)).astype(np.int64)
    return beams


def _anatomical_sites(rng: np.random.Generator, view: View, episodes: Episodes) -> Texts:
    """OPCS-4 site codes: of the organ, or of a common metastasis; some prescriptions have none."""
    n, cell = len(episodes.tumour), view.latent.tumours.cell[episodes.tumour]
    of_group = radiotherapy_schedules.primary_anatomical_sites()
    primary = np.array([of_group.get(one.group, MISSING) for one in cells()], dtype=object)[cell]
    metastatic = np.array(radiotherapy_schedules.metastatic_anatomical_sites(), dtype=object)
    elsewhere = metastatic[rng.integers(0, len(metastatic), n)]
    is_missing = rng.random(n) < load()["radiotherapy"]["anatomy_missing"]
    site = np.where(episodes.region == "M", elsewhere, primary)
    return np.where(is_missing, MISSING, site)


def _providers(view: View, seed: int) -> Texts:
    """[m] the three letters of the radiotherapy provider of each patient, one of a few in the
    patient's region.
    """
    people, regions = view.latent.people, list(load()["regions"])
    coin = draw.coins(people.patient_id, seed, "provider")
    place = np.array([regions.index(region) for region in people.region], dtype=np.int64)
    return PROVIDERS[place * PROVIDERS_PER_REGION + (coin * PROVIDERS_PER_REGION).astype(np.int64)]
