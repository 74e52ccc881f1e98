"""Whether the tables have what `events.rows` and `events.ending` name, source by source."""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.schema.column_values import Column, Table
from pipeline.schema.document import Path_
from pipeline.schema.event_days import can_say, start_scale, stop_scale
from pipeline.schema.event_source import UNITS, EventSource
from pipeline.schema.fields import FieldReader
from pipeline.schema.values import EventLog, Schema

_KINDS = {"date": "date", "day": "continuous", "duration": "continuous"}


@dataclass(frozen=True)
class SourceCheck:
    """One source of a log, and where it is declared."""

    reader: FieldReader
    path: Path_
    schema: Schema
    log: EventLog
    source: EventSource
    is_ending: bool

    @property
    def table(self) -> Table:
        return self.schema.tables[self.source.table]

    @property
    def is_single(self) -> bool:
        """Whether the table has one row per patient."""
        return self.table.key == (self.table.patient,)

    def problem(self, field: str, message: str) -> None:
        self.reader.document.problem((*self.path, field) if field else self.path, message)

    def run(self) -> bool:
        """Notes what is wrong; whether the columns are there, so that more can be asked."""
        if not self._has_columns():
            return False
        self._check_types()
        self._check_codes()
        self._check_days()
        if self.source.stop is not None and not self.is_ending:
            self._check_interval()
        if self.is_single and not self.is_ending:
            self._check_single()
        return True

    def _has_columns(self) -> bool:
        source = self.source
        if source.table not in self.schema.tables:
            self.problem("table", f"no table named {source.table!r}")
            return False
        named = {
            field: name
            for field in ("date", "day", "type", "status", "code", "until", "duration")
            if (name := getattr(source, field)) is not None
        }
        for field, name in named.items():
            if name not in self.table.columns:
                self.problem(field, f"{name!r} is no column of {source.table}")
                return False
        kinds = _KINDS | {"until": "date" if source.date is not None else "continuous"}
        wrong = [
            (field, name, kinds[field])
            for field, name in named.items()
            if field in kinds and self.table.columns[name].kind != kinds[field]
        ]
        for field, name, kind in wrong:
            self.problem(field, f"{name!r} must be of kind {kind}")
        if source.date is not None and self.log.origin is None:
            self.problem("date", "needs a day 0 that is a date: name it in events.origin")
        if self.is_ending and source.time is None:
            self.problem("", "an end has a time: add `date` or `day`")
        if self.is_ending and source.stop is not None:
            self.problem("", "an end of a pathway is no interval: drop `until` or `duration`")
        is_whole = (source.stop is None) == (source.closes is None)
        is_placed = source.time is not None or source.stop is None
        return not wrong and source.unit in UNITS and is_whole and is_placed

    def _check_types(self) -> None:
        source, log = self.source, self.log
        legal = log.terminal if self.is_ending else tuple(log.types)
        kind = "terminal type" if self.is_ending else "type"
        if source.constant is not None and source.constant not in legal:
            self.problem("constant", f"{source.constant!r} is no {kind} of event")
        for value, name in (source.codes or {}).items():
            if name not in legal:
                self.problem(f"codes.{value}", f"{name!r} is no {kind} of event")
        if source.status is not None and source.codes is not None:
            categories = self.table.columns[source.status].categories
            if others := [
                value for value in source.codes if categories and value not in categories
            ]:
                self.problem("codes", f"{', '.join(others)} is no value of {source.status}")
        if source.type is not None:
            column = self.table.columns[source.type]
            if column.categories and not set(column.categories) & set(legal):
                self.problem(
                    "type", f"no value of {column.name} is a type of event: {', '.join(legal)}"
                )
            else:
                self._warn_of_others("type", column, tuple(log.types), "no type is called so")
        if source.status is not None and not self.is_single:
            column = self.table.columns[source.status]
            self._warn_of_others("status", column, tuple(source.codes or ()), "codes do not say it")

    def _warn_of_others(
        self, field: str, column: Column, values: tuple[str, ...], why: str
    ) -> None:
        if others := [value for value in column.categories if value not in values]:
            self.reader.document.warn(
                (*self.path, field),
                f"rows whose {column.name} is {', '.join(others)} are no events, for {why}, and are"
                " left out",
            )

    def _check_codes(self) -> None:
        """Every code of its types can be said, and no other where the type is constant."""
        source = self.source
        column = self.table.columns[source.code] if source.code is not None else None
        for name, kind in self.log.types.items():
            if kind.terminal != self.is_ending or not can_say(source, self.table, name):
                continue
            if column is None and kind.codes:
                self.problem(
                    "", f"{name} has codes, and no column tells them: add `code`, or drop the codes"
                )
            elif column is not None and column.categories:
                others = [code for code in kind.codes if code not in column.categories]
                if others:
                    self.problem("code", f"{column.name} has no {', '.join(others)} of {name}")
        constant = self.log.types.get(source.constant or "")
        if column is None or constant is None:
            return
        codes = constant.codes
        if others := [value for value in column.categories if value not in codes]:
            self.problem(
                "code",
                f"{', '.join(others)} of {column.name} is no code of this type: whoever has it"
                " would be dropped",
            )

    def _check_days(self) -> None:
        """Dates before the origin, and numbers for each day that an end may stand on."""
        source, log = self.source, self.log
        origin = self.schema.patients.get(log.origin or "")
        if source.date is not None and origin is not None:
            first = origin.lower
            lower = self.table.columns[source.date].lower
            if first is not None and lower is not None and lower > first + log.lower_day:
                self.problem(
                    "date",
                    f"{source.date} begins after the first day that an event may have"
                    f" ({log.origin} from its lower bound on, and lower_day {log.lower_day}):"
                    " declare an earlier lower",
                )
        if source.day is None:
            return
        column = self.table.columns[source.day]
        if column.lower is None or column.upper is None:
            self.problem("day", f"{source.day} needs lower and upper: its events lie within them")
            return
        scale = start_scale(self.schema, source)
        first_day, last_day = scale.within(log.lower_day, log.upper_day)
        if first_day > last_day:
            self.problem("day", f"no value of {source.day} is a day within lower_day and upper_day")
        elif self.is_ending and last_day + scale.unit < log.upper_day:
            self.problem(
                "day",
                f"{source.day} ends on day {last_day}, but a pathway may on upper_day"
                f" {log.upper_day}: make the two equal",
            )

    def _check_interval(self) -> None:
        source, log = self.source, self.log
        stop = self.table.columns[source.stop or ""]
        field = "until" if source.until is not None else "duration"
        if not stop.nullable:
            self.problem(
                field,
                f"{stop.name} must be nullable: an interval that is open when the pathway ends has"
                " no end",
            )
        closing = log.types.get(source.closes or "")
        if closing is None or closing.closes != source.constant:
            self.problem(
                "closes",
                f"{source.closes!r} must be a type of event that is declared with `closes:"
                f" {source.constant}`",
            )
            return
        if closing.codes:
            self.problem("closes", f"{closing.name} has codes, and no column tells them")
        both = set(closing.attributes) & set(self.table.columns)
        opening = log.types.get(source.constant or "")
        for name in sorted(both & set(opening.attributes if opening is not None else ())):
            self.problem(
                "closes",
                f"{name} is an attribute of {source.constant} and of {closing.name}, but one"
                " column: leave it to one of them",
            )
        if stop.lower is None or stop.upper is None:
            self.problem(field, f"{stop.name} needs lower and upper")
        elif source.duration is not None:
            self._check_length(stop)

    def _check_length(self, length: Column) -> None:
        log, scale = self.log, stop_scale(self.schema, self.source)
        longest = log.upper_day - log.lower_day
        unit = UNITS[self.source.unit]
        low, high = (length.lower or 0) * unit, (length.upper or 0) * unit
        names = list(log.types)
        shortest = int(
            names.index(self.source.closes or "") < names.index(self.source.constant or "")
        )
        if low > shortest * max(1.0, scale.unit) or high + unit < longest:
            self.problem(
                "duration",
                f"{length.name} must reach from {shortest} to the {longest} days between lower_day"
                f" and upper_day (in {self.source.unit}), so that every interval can be written",
            )

    def _check_single(self) -> None:
        """A row per patient holds at most one event of a source."""
        source, log = self.source, self.log
        if source.type is not None:
            self.problem(
                "type", f"{source.table} has one row per patient: name its event by `constant`"
            )
        for name in source.types or ():
            kind = log.types.get(name)
            if kind is not None and kind.at_most != 1 and name != log.anchor:
                self.problem(
                    "", f"{source.table} has one row per patient: declare {name} with at_most: 1"
                )
        if source.time is None:
            if source.constant != log.anchor:
                self.problem(
                    "",
                    f"without `date` and `day` every row of {source.table} is an event on day 0:"
                    " that can only be the anchor",
                )
        elif source.constant != log.anchor and not self.table.columns[source.time].nullable:
            categories = self.table.columns[source.status].categories if source.status else ()
            if not set(categories) - set(source.codes or ()):
                self.problem(
                    "date" if source.date is not None else "day",
                    f"{source.time} must be nullable: not everybody has the event",
                )
