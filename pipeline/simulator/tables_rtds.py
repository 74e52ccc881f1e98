"""SIM_RTDS_EPISODE, _PRESCRIPTION, _EXPOSURE and their join SIM_RTDS_COMBINED
(registry_tables.md 1.3; simulator.md 3.5).
"""

import numpy as np
import polars as pl

from pipeline.schema.codes.radiotherapy_schedules import BRACHYTHERAPY, PALLIATIVE
from pipeline.simulator import draw
from pipeline.simulator.draw import MISSING, Bools, Texts
from pipeline.simulator.parameters import load
from pipeline.simulator.radiotherapy import attendance_days, schedule_list
from pipeline.simulator.values import FIRST_EVENT_DAY, Episodes, View
from pipeline.simulator.view import dates, texts

EPISODE_BASE, PRESCRIPTION_BASE, ATTEND_BASE = 70_000_000_000, 80_000_000_000, 90_000_000_000
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
    """The four radiotherapy tables; one row per attendance in each."""
    rows = _attendances(view, view.latent.episodes, seed)
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
        "sim_rtds_exposure": rows.select(EXPOSURE),
        "sim_rtds_combined": rows.select(COMBINED),
    }


def _attendances(view: View, episodes: Episodes, seed: int) -> pl.DataFrame:
    schedules = schedule_list()
    dose = np.array([s.dose for s in schedules])[episodes.schedule]
    fractions = np.array([s.fractions for s in schedules])[episodes.schedule]
    index, day = attendance_days(episodes.start, episodes.delivered, dose / fractions)
    who = view.latent.tumours.patient[episodes.tumour]
    is_visible = view.tumour_seen[episodes.tumour][index] & (day <= view.end[who][index])
    delivered = np.bincount(index[is_visible], minlength=len(dose))
    rng = draw.stream(seed, "exposures")
    minute = np.clip(
        rng.integers(8 * 60, 18 * 60, len(dose))[index] + rng.integers(-20, 21, len(index)),
        8 * 60,
        18 * 60,
    )
    clock = np.array([f"{m // 60:02d}:{m % 60:02d}" for m in range(24 * 60)], dtype=object)[minute]
    frame = _episode_columns(view, episodes, seed).with_columns(
        RTPRESCRIBEDDOSE=pl.Series(dose),
        RTPRESCRIBEDFRACTIONS=pl.Series(fractions),
        RTACTUALDOSE=pl.Series(np.round(dose * delivered / fractions, 2)),
        RTACTUALFRACTIONS=pl.Series(delivered),
    )
    rows = frame[index].with_columns(
        ATTENDID=pl.Series(draw.scattered_ids(len(index), ATTEND_BASE)).cast(pl.String),
        APPTDATE=dates(day),
        TIMEOFEXPOSURE=texts(clock),
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
    episode_id = draw.scattered_ids(n, EPISODE_BASE)
    anatomy: Texts = draw.choose(
        rng, {"Z018": 20, "Z063": 22, "Z064": 20, "Z664": 16, "Z761": 8, "Z246": 8, "Z301": 6}, n
    )
    isotope = np.where(sealed, "Ir192", MISSING)
    return pl.DataFrame(
        {
            "PATIENTID": people.patient_id[who],
            "RADIOTHERAPYEPISODEID": episode_id,
            "LINKCODE": texts(np.char.add("LC", episode_id.astype(str)).astype(object)),
            "PRESCRIPTIONID": draw.scattered_ids(n, PRESCRIPTION_BASE),
            "DECISIONTOTREATDATE": dates(decision),
            "EARLIESTCLINAPPROPDATE": dates(ready, rng.random(n) < 0.15),
            "RADIOTHERAPYPRIORITY": texts(draw.choose(rng, raw["priority"], n)),
            "RADIOTHERAPYINTENT": texts(_intents(view, episodes, palliative)),
            "RTTREATMENTMODALITY": texts(modality),
            "RTTREATMENTREGION": texts(episodes.region),
            "RTTREATMENTANATOMICALSITE": texts(np.where(episodes.region == "M", anatomy, MISSING)),
            "RADIOISOTOPE": texts(isotope),
            "RADIOTHERAPYBEAMTYPE": texts(
                np.where(sealed, MISSING, np.where(electron, "T2", "T1"))
            ),
            "RADIOTHERAPYBEAMENERGY": pl.Series(energy).set(pl.Series(sealed), None),
        }
    )
