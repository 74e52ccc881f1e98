"""Benchmarks: every figure in docs/benchmarks.md and docs/evidence.md is made by a module here.

They run from the root of the repository: `python -m bench.NAME`.
"""
