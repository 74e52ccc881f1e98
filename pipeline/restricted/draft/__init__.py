"""A declaration to begin with, guessed from the rows of files (docs/your-data.md). What it writes
is restricted: whatever came from rows is marked `review:`, and refused by the reader until a person
has replaced it.
"""
