"""Puts tests/ on the path, so that test folders share the cases that lie here."""
