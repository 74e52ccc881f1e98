"""What the simulator's steps hand on: arrays of people, tumours, treatments and their ends.

m people, t tumours, c courses of drugs, e episodes of radiotherapy; days count from 1970.
"""

from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.simulator.draw import Bools, Floats, Ints, Texts

# routes to diagnosis, by their place in ROUTES
SCREENED, TWW, GP, OUTPATIENT, ELECTIVE, EMERGENCY, UNKNOWN, DCO = range(8)
ROUTES = (
    "Screen detected",
    "TWW",
    "GP referral",
    "Other outpatient",
    "Inpatient elective",
    "Emergency presentation",
    "Unknown",
    "DCO",
)
NO_DAY = -1
FIRST_EVENT_DAY = int(np.datetime64("2015-11-01").astype(int))  # clinical rule 11


@dataclass(frozen=True, kw_only=True)
class People:
    """All arrays [m], one entry per latent patient. Days are days since 1970-01-01."""

    patient_id: Ints
    link_number: Ints
    sex: Texts  # "1", "2"
    ethnicity: Texts
    asian: Any  # bool
    quintile: Ints  # 1 most deprived
    region: Texts
    registered: Ints  # the day from which an extract shows the patient
    charlson: Ints
    comorbidities: Texts
    embarked: Ints  # day of leaving the country; far future for nearly all
    height: Floats  # metres, adult
    weight: Floats  # kg, adult


@dataclass(frozen=True, kw_only=True)
class Tumours:
    """All arrays [t]. The first m are the patients' first tumours, in patient order; later ones
    follow by order.
    """

    tumour_id: Ints
    patient: Ints  # index into People
    order: Ints  # 0 first, 1 second, 2 third
    cell: Ints  # index into cells()
    site: Texts  # three characters
    day: Ints  # diagnosis
    age: Ints  # whole years
    age_exact: Floats


@dataclass(frozen=True, kw_only=True)
class Pathology:
    """All arrays [t]; None in a text array means missing."""

    morphology: Texts
    code4: Texts
    icdo3: Texts
    behaviour: Texts
    laterality: Texts
    er: Texts
    pr: Texts
    her2: Texts
    her2_positive: Bools
    triple_negative: Bools
    egfr: Bools
    alk: Bools
    braf: Bools
    drug_class: Texts  # class of `regimen_needs`, "" for none


@dataclass(frozen=True, kw_only=True)
class Clinical:
    """All arrays [t]; None in a text array means missing."""

    stage_column: Ints  # 0..3 stage 1..4, 4 unknown or unstaged
    stage: Texts  # STAGE_BEST
    stage_system: Texts
    t_best: Texts
    n_best: Texts
    m_best: Texts
    route: Ints  # index into ROUTES
    screening: Texts
    performance: Ints  # the true one, 0..4
    performance_recorded: Texts
    iss_hazard: Floats


@dataclass(frozen=True, kw_only=True)
class GeneTests:
    """All arrays [g]. Days count from 1970."""

    tumour: Ints
    gene: Ints  # index into gene_panel.genes()
    first_day: Ints
    last_day: Ints
    overall_day: Ints
    status: Texts
    variant: Texts  # abnormal sequence results only
    method: Texts
    lab: Texts
    molecular: Bools  # which feed the date came from


@dataclass(frozen=True, kw_only=True)
class Courses:
    """All arrays [c]; one entry per regimen given to a patient. Days count from 1970."""

    tumour: Ints
    regimen: Ints  # index into drug_regimens.regimens()
    intent: Texts
    start: Ints
    line: Ints  # 1 first
    cycles: Ints  # delivered, before death cuts
    offsets: NDArray[np.int16]  # [c, 30] days from start to each cycle; first entry 0
    plan_cycles: Ints  # as many as the plan, or its half, has
    delayed: Bools
    reduced: Bools
    curative: Bools
    concurrent: Bools
    # number in the plan of the first cycle given here (0-based): the second half of a split plan
    # starts later
    first_cycle: Ints

    def take(self, rows: Any) -> "Courses":
        return Courses(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def joined(self, other: "Courses") -> "Courses":
        return Courses(
            **{
                f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)])
                for f in fields(self)
            }
        )


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """All arrays [e]. Days count from 1970."""

    tumour: Ints
    start: Ints
    schedule: Ints  # index into schedule_list()
    region: Texts
    delivered: Ints  # fractions given where death does not cut

    def take(self, rows: Any) -> "Episodes":
        return Episodes(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def joined(self, other: "Episodes") -> "Episodes":
        return Episodes(
            **{
                f.name: np.concatenate([getattr(self, f.name), getattr(other, f.name)])
                for f in fields(self)
            }
        )


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All arrays [t]; days count from 1970, -1 where the treatment is not planned. Drawn before
    death is known.
    """

    surgery: Bools
    drugs: Bools
    radiotherapy: Bools
    curative: Bools
    concurrent: Bools
    surgery_day: Ints
    procedure_day: Ints  # of a procedure in theatre that is no resection
    rt_day: Ints
    schedule: Ints  # index into radiotherapy.schedule_list()
    courses: Courses  # first-line drug courses, the second half of a perioperative one included
    alive_until: Ints  # days after diagnosis that a treated patient lives for sure

    @property
    def first_surgery_day(self) -> Ints:
        """[t] what the registry dates as first surgery: resection or procedure, -1 for none."""
        return np.where(self.surgery, self.surgery_day, self.procedure_day)


@dataclass(frozen=True, kw_only=True)
class Survival:
    excess_death: Ints  # [t] day of death of this tumour, NEVER if it does not kill
    death: Ints  # [m] day of death, NEVER beyond any extract
    diagnoses: Ints  # [k] indices of the tumours that were diagnosed before death
    of_cancer: Ints  # [m] index of the tumour that killed, -1 otherwise


@dataclass(frozen=True, kw_only=True)
class Latent:
    people: People
    tumours: Tumours
    pathology: Pathology
    clinical: Clinical
    grade: Texts
    gleason: tuple[Texts, Texts, Texts, Texts]
    plan: Plan
    survival: Survival
    courses: Courses
    episodes: Episodes
    genes: GeneTests
    causes: Texts  # [m] underlying cause of death, whether or not it has happened yet
    death_location: Texts  # [m]


@dataclass(frozen=True, kw_only=True)
class View:
    latent: Latent
    extract_day: int  # days since 1970
    patients: Ints  # indices of the visible patients
    tumours: Ints  # indices of the visible tumours
    patient_seen: Bools  # [m]
    tumour_seen: Bools  # [t]
    end: Ints  # [m] last day on which something can be seen: death, embarkation or the extract
    dead: Bools  # [m] died on or before the extract, before leaving
