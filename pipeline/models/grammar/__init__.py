"""Legality of an event log, from its declaration alone: its rules, what may follow (tracker), and
what a finished log breaks (violations).
"""
