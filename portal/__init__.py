"""The portal: the front door of the pipeline. Two processes, `public` and `custodian`, and what
both need (docs/portal.md).
"""
