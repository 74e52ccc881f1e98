"""Accounts of staff and researchers, for administrators."""
