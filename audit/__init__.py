"""Evidence that the guarantee holds: checks that fail when a condition of it is broken
(privacy_rules.md, *Tests*).
"""
