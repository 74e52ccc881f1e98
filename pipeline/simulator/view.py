"""What an extract of a given date shows of the latent lifetimes: nothing is drawn here, days after
the date are hidden.
"""

from datetime import date

import numpy as np
import polars as pl

from pipeline.simulator.draw import Bools, Ints
from pipeline.simulator.values import Latent, View


def view(latent: Latent, extract_date: date) -> View:
    day = int(np.datetime64(extract_date).astype(int))
    people, tumours, death = latent.people, latent.tumours, latent.survival.death
    end = np.minimum(np.minimum(death, people.embarked), day)
    first_day = tumours.day[: len(end)]
    patient_seen = (people.registered <= day) & (first_day <= end)
    tumour_seen = np.zeros(len(tumours.day), dtype=bool)
    tumour_seen[latent.survival.diagnoses] = True
    tumour_seen &= patient_seen[tumours.patient] & (tumours.day <= end[tumours.patient])
    return View(
        latent=latent,
        extract_day=day,
        patients=np.flatnonzero(patient_seen),
        tumours=np.flatnonzero(tumour_seen),
        patient_seen=patient_seen,
        tumour_seen=tumour_seen,
        end=end,
        dead=(death <= day) & (death <= people.embarked),
    )


def dates(days: Ints, missing: Bools | None = None) -> pl.Series:
    """Days since 1970 as dates; null where `missing`."""
    series = pl.Series(days.astype(np.int32)).cast(pl.Date)
    return series if missing is None else series.set(pl.Series(missing), None)


def texts(values: object) -> pl.Series:
    """An array of str or None as a String column."""
    return pl.Series(list(values), dtype=pl.String)  # type: ignore[call-overload]
