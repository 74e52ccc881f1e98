"""The table model under another group's evaluators: MargNet's public benchmark, on the Adult split
that it brings itself, beside methods that it bundles.

    git clone https://github.com/KaiChen9909/margnet CHECKOUT
    python -m venv PEER && PEER/bin/pip install torch==2.13.0 numpy==1.26.4 pandas==2.2.3
        scikit-learn==1.5.2 scipy==1.13.1 catboost==1.2.7 xgboost==2.1.1 optuna==3.6.1
        skorch==1.0.0 networkx==3.3 category_encoders==2.6.4 autodp==0.2.3.1 tomli tomli-w tqdm
        matplotlib
    python -m bench.third_party --margnet CHECKOUT --python PEER/bin/python --epsilon 0.2 1 5
        --methods aim=0.2 aim=1

It writes a Markdown table. What is scored already (CHECKOUT/exp/syndasera) is not done again.

Scoring is theirs: `eval_seeds` of the checkout runs on saved rows, with `test_data="real"` as in
their main.py, so errors are against the training rows. Their classifiers are tuned first, by their
script. Rows are saved as their `reverse_data` saves them, with one exception: categories are
objects, as in their own data, not strings. Beside strings a label becomes a string too, and their
query evaluator then counts no synthetic row with it, whatever the rows are. Its error in that case,
which their main.py reports, stands in the column "query error, as released".

Their methods are fitted at a delta of 1e-5, their default; ours at 1e-6. Theirs are fitted once and
drawn from several times, as in their main.py; ours is fitted anew for every seed.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import polars as pl

from bench import table_data
from bench.tables import timed_fit
from pipeline.schema.values import Column, Schema

LABEL = "y_attr"
# Sizes that domain.json gives as the number of codes that occur; the codes themselves come from
# grids of 32 cells (sampling weight, capital gain, capital loss) and 42 countries of birth.
GRIDS: Mapping[str, int] = MappingProxyType(
    {"cat_attr_2": 32, "cat_attr_10": 32, "cat_attr_11": 32, "cat_attr_12": 42}
)
CLASSIFIERS = ("rf", "xgb")  # of theirs; tuning catboost takes 50 fits of up to 2,000 trees
OURS, REAL, AGAIN = "Syndasera, table model", "training rows", "training rows, bootstrapped"

HEADING = (
    "| rows | epsilon | TVD, 1-way | TVD, 2-way | query error | query error, as released"
    + "".join(f" | {model} F1, AUC on train | {model} F1, AUC on val" for model in CLASSIFIERS)
    + f" |\n|{'---|' * (6 + 2 * len(CLASSIFIERS))}\n"
)
Fill = Callable[["Peer", list[Path]], None]  # saves rows in every folder

# Runs by their interpreter in their checkout: OUT FOLDER..., two or more -> OUT/eval_*.json
SCORE = """
import json, shutil, sys
sys.path.insert(0, ".")
import numpy
from evaluator.eval_query import make_query
from evaluator.eval_seeds import eval_seeds
class Saved:
    def __init__(self, folders):
        self.folders = iter(folders)
    def syn(self, n_sample, preprocesser, parent_dir):
        shutil.copytree(next(self.folders), parent_dir, dirs_exist_ok=True)
out, *folders = sys.argv[1:]
config = {"parent_dir": out, "real_data_path": "data/adult/", "sample": {"sample_num": 0}}
with open(out + "/eval_config.json", "w") as file:
    json.dump(config, file)
numpy.random.seed(0)
eval_seeds(config, sampling_method="privsyn", n_datasets=len(folders), time_record={},
           test_data="real", privsyn_generator=Saved(folders))
errors = []
for folder in folders:
    shutil.copytree(folder, out, dirs_exist_ok=True)
    categories = numpy.load(out + "/X_cat_train.npy", allow_pickle=True)
    numpy.save(out + "/X_cat_train.npy", categories.astype(str))
    numpy.random.seed(0)  # the same queries as above
    errors.append(make_query(out, "data/adult/", "binclass", 1000, 3, test_data="real"))
with open(out + "/eval_strings.json", "w") as file:
    json.dump({"synthetic": {"error_mean": sum(errors) / len(errors)}}, file)
"""

# Likewise: METHOD EPSILON FOLDER... -> rows in each folder, drawn from one fit of theirs
DRAW = """
import sys
sys.path.insert(0, ".")
import torch
for name in ("reset_peak_memory_stats", "max_memory_allocated"):  # there is no GPU to ask
    setattr(torch.cuda, name, lambda *args, **options: 0)
method, epsilon, *folders = sys.argv[1:]
if method == "aim":
    import autodp.rdp_acct  # its modules import each other, and this one has to be first
sys.argv = ["main.py", method, "adult", "cpu", epsilon]
import main
from evaluator.eval_sample import eval_sampler
def draws(config, sampling_method, device, preprocesser, **generators):
    for seed, folder in enumerate(folders):
        config["parent_dir"], config["sample"]["seed"] = folder, seed
        eval_sampler(sampling_method, config, device, preprocesser, **generators)
main.eval_seeds = draws
main.main(main.args)
"""


@dataclass(frozen=True)
class Rows:
    """A table as they keep it: numbers, categories (codes as text), label."""

    numbers: np.ndarray
    categories: np.ndarray
    label: np.ndarray


@dataclass(frozen=True)
class Peer:
    """Their checkout, the interpreter that runs it, and where rows and scores go."""

    checkout: Path
    python: Path
    work: Path

    @property
    def adult(self) -> Path:
        return self.checkout / "data" / "adult"

    def run(self, *arguments: str) -> None:
        """One thread; raises RuntimeError with the end of what it wrote."""
        process = subprocess.run(
            [str(self.python), *arguments],
            cwd=self.checkout,
            env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": ""},
            capture_output=True,
            text=True,
            check=False,
        )
        if process.returncode != 0:
            raise RuntimeError((process.stdout + process.stderr)[-3000:])


def read_rows(folder: Path) -> Rows:
    parts = [folder / f"{part}_train.npy" for part in ("X_num", "X_cat", "y")]
    return Rows(*(np.load(part, allow_pickle=True) for part in parts))


def save_rows(rows: Rows, folder: Path) -> None:
    np.save(folder / "X_num_train.npy", rows.numbers.astype(float))
    np.save(folder / "X_cat_train.npy", rows.categories.astype(str).astype(object))
    np.save(folder / "y_train.npy", rows.label.astype(int))


def declaration(adult: Path) -> Schema:
    """From their domain.json and info.json alone: numbers by their bounds, categories by their
    codes, the label as target. No implications: their methods have none either.
    """
    sizes = json.loads((adult / "domain.json").read_text(encoding="utf-8"))
    info = json.loads((adult / "info.json").read_text(encoding="utf-8"))
    ours = table_data.table("adult").schema
    return dataclasses.replace(
        ours,
        population=dataclasses.replace(ours.population, nominal_size=info["train_size"]),
        patients={name: _column(name, GRIDS.get(name, size)) for name, size in sizes.items()},
        implications=(),
        targets=(LABEL,),
        quasi_identifiers=(),
    )


def _column(name: str, size: int) -> Column:
    if name.startswith("num"):
        return Column(name=name, kind="continuous", lower=0, upper=size - 1)
    return Column(name=name, kind="categorical", categories=tuple(map(str, range(size))))


def frame_of(rows: Rows, schema: Schema) -> pl.DataFrame:
    columns: dict[str, Any] = {"patient_id": [str(place) for place in range(len(rows.label))]}
    parts = [*rows.numbers.T, *rows.categories.T, rows.label]
    for (name, column), part in zip(schema.patients.items(), parts, strict=True):
        columns[name] = part.astype(float if column.is_numeric else str)
    return pl.DataFrame(columns)


def rows_of(frame: pl.DataFrame) -> Rows:
    numbers, categories = (
        frame.select(pl.col(f"^{kind}_attr_.*$")).to_numpy() for kind in ("num", "cat")
    )
    return Rows(numbers, categories, frame[LABEL].to_numpy())


def tune(peer: Peer) -> None:
    """Their classifiers' settings, by cross-validation on real rows; once per checkout. The script
    also loads a test split, which the checkout lacks: validation rows stand in, and what it finds
    on them is not used.
    """
    for part in ("X_num", "X_cat", "y"):
        shutil.copyfile(peer.adult / f"{part}_val.npy", peer.adult / f"{part}_test.npy")
    for model in CLASSIFIERS:
        if not (peer.checkout / "eval_models" / model / "adult_cv.json").is_file():
            peer.run("evaluator/tune_eval_model.py", "adult", model, "cv", "cpu")


def scores(peer: Peer, name: str, seeds: int, fill: Fill) -> dict[str, Any]:
    """{evaluation: their summary of it}, averaged over seeds."""
    out = peer.work / name / "scores"
    if not (out / "eval_strings.json").is_file():
        out.mkdir(parents=True, exist_ok=True)
        folders = [peer.work / name / str(seed) for seed in range(seeds)]
        for folder in folders:
            folder.mkdir(exist_ok=True)
        fill(peer, folders)
        peer.run("-c", SCORE, str(out), *map(str, folders))
    texts = {file.stem[5:]: file.read_text(encoding="utf-8") for file in out.glob("eval_*.json")}
    return {kind: json.loads(text).get("synthetic") for kind, text in texts.items()}


def fill_real(peer: Peer, folders: list[Path], *, again: bool) -> None:
    """again: a bootstrap of the training rows, not the rows themselves."""
    rows = read_rows(peer.adult)
    count = len(rows.label)
    for seed, folder in enumerate(folders):
        rng = np.random.default_rng(seed)
        places = rng.integers(0, count, count) if again else np.arange(count)
        parts = (rows.numbers, rows.categories, rows.label)
        save_rows(Rows(*(part[places] for part in parts)), folder)


def fill_ours(peer: Peer, folders: list[Path], *, epsilon: float) -> None:
    """Each seed a fit of its own."""
    schema = declaration(peer.adult)
    train = frame_of(read_rows(peer.adult), schema)
    for seed, folder in enumerate(folders):
        model, _ = timed_fit(schema, train, epsilon)
        save_rows(rows_of(model.sample(len(train), np.random.default_rng(seed))), folder)


def fill_theirs(peer: Peer, folders: list[Path], *, method: str, epsilon: float) -> None:
    if not all((folder / "y_train.npy").is_file() for folder in folders):
        peer.run("-c", DRAW, method, str(epsilon), *map(str, folders))
    for folder in folders:
        save_rows(read_rows(folder), folder)


def line(name: str, epsilon: str, figures: Mapping[str, Any]) -> str:
    """Means, and of TVD the standard deviation over seeds. Their "test" are the training rows."""
    tvd = [figures["tvd"][f"{ways}way margin"] for ways in (1, 2)]
    cells = [f"{one['mean']:.4f} ({one['std']:.4f})" for one in tvd]
    cells += [f"{figures[kind]['error_mean']:.4f}" for kind in ("query", "strings")]
    for model in CLASSIFIERS:
        for split in ("test", "val"):
            summary = figures[model][split]
            cells.append(f"{summary['f1-mean']:.3f}, {summary['roc_auc-mean']:.3f}")
    return f"| {' | '.join([name, epsilon, *cells])} |\n"


def read_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--margnet", type=Path, required=True, help="a checkout of theirs")
    parser.add_argument("--python", type=Path, required=True, help="the interpreter that runs it")
    parser.add_argument("--epsilon", type=float, nargs="+", default=[0.2, 1.0, 5.0])
    parser.add_argument("--methods", nargs="*", default=[], help="of theirs, such as aim=1")
    parser.add_argument("--seeds", type=int, default=3, help="two or more")
    return parser.parse_args()


def main() -> None:
    options = read_options()
    checkout = options.margnet.resolve()
    peer = Peer(checkout, options.python.absolute(), checkout / "exp" / "syndasera")
    tune(peer)
    runs: list[tuple[str, str, str, Fill]] = [
        (REAL, "-", "real", partial(fill_real, again=False)),
        (AGAIN, "-", "bootstrap", partial(fill_real, again=True)),
    ]
    for epsilon in options.epsilon:
        fill_at = partial(fill_ours, epsilon=epsilon)
        runs.append((OURS, f"{epsilon:g}", f"ours-{epsilon:g}", fill_at))
    for text in options.methods:
        method, _, budget = text.partition("=")
        fill_by = partial(fill_theirs, method=method, epsilon=float(budget))
        runs.append((f"their {method}", budget, f"{method}-{budget}", fill_by))
    sys.stdout.write(HEADING)
    for title, budget, name, fill in runs:
        sys.stdout.write(line(title, budget, scores(peer, name, options.seeds, fill)))


if __name__ == "__main__":
    main()
