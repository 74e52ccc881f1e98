"""What models are fitted to see whether they learn from synthetic rows what they would from real
ones: six classifiers of scikit-learn, and Cox's model.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.naive_bayes import BernoulliNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import KBinsDiscretizer, OneHotEncoder, OrdinalEncoder, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier

from pipeline.schema.values import Column

BOOSTING = "gradient boosting"
IN_BINS = "naive Bayes"  # sees numbers in ten quantile bins, the others standardised
PENALTY = 0.1  # ridge of Cox's model, so that constant columns of a poor extract stop nothing


def classifiers() -> dict[str, Any]:
    """Scikit-learn's defaults where nothing is said."""
    return {
        "tree": DecisionTreeClassifier(max_depth=8, random_state=0),
        IN_BINS: BernoulliNB(),
        "random forest": RandomForestClassifier(100, min_samples_leaf=5, random_state=0),
        "logistic": LogisticRegression(max_iter=200),
        "linear SVM": LinearSVC(dual=False),
        BOOSTING: HistGradientBoostingClassifier(random_state=0),
    }


@dataclass(frozen=True)
class Fit:
    """A classifier fitted to a table's labels, and the features [n, features] of a holdout."""

    model: Any
    holdout: np.ndarray

    def scores(self, labels: Sequence[Any]) -> np.ndarray:
        """Float [labels, n], which ranks the holdout by how likely it has each label; 0 for a label
        that the table did not hold.
        """
        if hasattr(self.model, "predict_proba"):
            values = self.model.predict_proba(self.holdout)
        else:
            values = self.model.decision_function(self.holdout)
            if values.ndim == 1:  # a decision function between two classes
                values = np.column_stack([-values, values])
        places = {label: place for place, label in enumerate(self.model.classes_.tolist())}
        nothing = np.zeros(len(self.holdout))
        return np.array([values[:, places[n]] if n in places else nothing for n in labels])

    def labels(self) -> np.ndarray:
        """The most likely label of each row of the holdout, [n]."""
        return np.asarray(self.model.predict(self.holdout))


def fits(
    rows: pl.DataFrame,
    labels: np.ndarray,
    holdout: pl.DataFrame,
    columns: Mapping[str, Column],
    *,
    boosting_on_codes: bool = False,
) -> dict[str, Fit]:
    """Each of the six, fitted to `rows` and their labels [n] of at least two kinds; of the holdout
    the features are encoded as `encode` says.
    """
    with warnings.catch_warnings():
        # columns that are all missing, steps that end early: no fault of the figures
        warnings.simplefilter("ignore")
        features = encode(rows, holdout, columns, boosting_on_codes=boosting_on_codes)
        return {
            name: Fit(model.fit(features[name][0], labels), features[name][1])
            for name, model in classifiers().items()
        }


def encode(
    rows: pl.DataFrame,
    holdout: pl.DataFrame,
    columns: Mapping[str, Column],
    *,
    boosting_on_codes: bool = False,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """For each classifier, the features [n, features] of both tables, as fitted to the first.

    boosting_on_codes: a category is one column of codes for gradient boosting, which is ten times
    faster; on hundreds of indicators it went astray where classes are rare. The benchmark of tables
    has two classes and keeps indicators, so that its figures stay comparable.
    """
    frames = plain_frame(rows, columns), plain_frame(holdout, columns)
    plain, bins = (
        (encoder.fit_transform(frames[0]), encoder.transform(frames[1]))
        for encoder in (
            _encoder(columns, StandardScaler()),
            _encoder(columns, KBinsDiscretizer(10, subsample=None)),
        )
    )
    features = {name: bins if name == IN_BINS else plain for name in classifiers()}
    if boosting_on_codes:
        features[BOOSTING] = _codes(*frames, columns)
    return features


def _codes(
    frame: pd.DataFrame, holdout: pd.DataFrame, columns: Mapping[str, Column]
) -> tuple[np.ndarray, np.ndarray]:
    names = [name for name, column in columns.items() if column.is_categorical]
    if names:
        encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=np.nan)
        encoder.fit(frame[names])
        frame, holdout = (
            one.drop(columns=names).assign(
                **dict(zip(names, encoder.transform(one[names]).T, strict=True))
            )
            for one in (frame, holdout)
        )
    # gradient boosting stops at a column that is constant or all missing
    varied = [name for name in frame.columns if frame[name].nunique() > 1]
    return frame[varied].to_numpy(float), holdout[varied].to_numpy(float)


def plain_frame(rows: pl.DataFrame, columns: Mapping[str, Column]) -> pd.DataFrame:
    """Categories as text, "missing" among them; numbers and dates as floats."""
    frame = rows.select(list(columns)).to_pandas()
    for name, column in columns.items():
        present = frame[name].notna()
        frame[name] = (
            frame[name].astype(str).where(present, "missing")
            if column.is_categorical
            else pd.to_numeric(frame[name]).astype(float)
        )
    return frame


def _encoder(columns: Mapping[str, Column], numeric: Any) -> ColumnTransformer:
    categories = [name for name, column in columns.items() if column.is_categorical]
    numbers = [name for name in columns if name not in categories]
    return ColumnTransformer(
        [
            ("categories", OneHotEncoder(handle_unknown="ignore", sparse_output=False), categories),
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), numeric), numbers),
        ],
        sparse_threshold=0,
    )


def cox_risks(
    facts: pd.DataFrame, days: np.ndarray, died: np.ndarray, holdout_facts: pd.DataFrame
) -> np.ndarray | None:
    """Log partial hazards of the holdout by Cox's model fitted to `facts` (numbers), `days` and
    `died`; None where it cannot be fitted. A column that only one table has counts as 0.
    """
    holdout_facts = holdout_facts.reindex(columns=facts.columns, fill_value=0.0)
    middle, spread = facts.mean(), facts.std().replace(0.0, 1.0)
    frame = ((facts - middle) / spread).assign(_days=np.clip(days, 1, None), _died=died)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # constant columns and the like: the ridge takes them
        try:
            model = CoxPHFitter(penalizer=PENALTY).fit(frame, "_days", "_died")
        except (ConvergenceError, ValueError):
            return None
    return model.predict_log_partial_hazard((holdout_facts - middle) / spread).to_numpy()
