"""What is expected of tables: the suites written from the declaration and the clinical rules, and
their runs with Great Expectations.

`suites` and `suite_files` need neither Great Expectations nor pandas; `suite_runs` and
`table_checks` do, when they run.
"""
