"""The transparency log: what the released zone shows of the ledger, and how anybody checks it.

`tree` is the hash tree, `commitments` what a leaf hides and how it is opened, `making` makes a line
of the log from the ledger's entries, `checking` needs no ledger.
"""
