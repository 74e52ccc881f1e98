"""The auditor's view: ledger, budgets, releases with their lineage, the log of actions."""
