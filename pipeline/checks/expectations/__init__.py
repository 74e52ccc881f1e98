"""What is expected of tables: the suites written from the declaration and the clinical rules, and
their runs with Great Expectations.

`suites` needs neither Great Expectations nor pandas; `suite_runs` and `table_checks` do, when they
run.
"""

from pipeline.checks.expectations.suites import sdmetrics_metadata, stale, suites, write

__all__ = ["sdmetrics_metadata", "stale", "suites", "write"]
