"""The public process: the released zone only. It holds no key, and imports nothing that knows
patients' rows, the ledger or Airflow (tests/house/test_portal_imports.py).
"""
