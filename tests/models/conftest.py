"""Makes `pathway_cases` importable for the tests of this folder."""
