"""Of what people wrote down: where the home is, params.yaml, the declared sources."""

from __future__ import annotations

from collections.abc import Iterator

from pipeline import environment, night_params, params, portal_params
from pipeline.catalog import Home
from pipeline.cli.doctor.questions import Fault, Question
from pipeline.refusal import Refusal
from pipeline.runs import places, sources
from pipeline.runs.declarations import dataset_names, declaration_path
from pipeline.schema.reader import read_schema


def home_path(is_relative: bool, home: Home) -> Iterator[Fault]:
    """A relative path is another home in another folder."""
    if is_relative:
        yield Fault(
            f"{environment.HOME_VARIABLE} is relative: it is {home.root} from here, and another"
            " home, with another ledger and other keys, from elsewhere. Give the absolute path"
        )


def params_file(home: Home) -> Iterator[Fault]:
    """Every block of params.yaml is as its dataclass says."""
    readers = (
        params.load,
        portal_params.load,
        portal_params.load_sign_in,
        night_params.load_watch,
        night_params.load_metrics,
        night_params.load_logs,
    )
    for read in readers:
        try:
            read(home.params)
        except Refusal as error:
            yield Fault(f"{home.params}: {error}")
        except Exception as error:
            yield Fault(f"{home.params} is no YAML of blocks ({type(error).__name__}): correct it")
            return


def declarations(home: Home) -> Iterator[Fault]:
    """Every declaration can be read."""
    for name in dataset_names():
        try:
            read_schema(declaration_path(name))
        except Refusal as error:
            yield Fault(f"datasets/{name}.yaml: {str(error).splitlines()[-1].strip()}")


def source_places(home: Home) -> Iterator[Fault]:
    """Something lies at every declared source."""
    for dataset, source in sources.load(home).items():
        try:
            places.refuse_missing(source.path, dataset)
        except Refusal as error:
            yield Fault(
                f"{error}: put it back, or declare another with `python -m pipeline sources"
                f" set {dataset}`"
            )


QUESTIONS = (
    Question("params.yaml is as it should be", params_file),
    Question("every declaration can be read", declarations),
    Question("something lies at every declared source", source_places),
)
