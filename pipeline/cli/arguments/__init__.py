"""The commands and their arguments, one module per group. Each module of this folder stands for the
module of `pipeline/cli/` of the same name, which does the work and is loaded when a command runs.
"""
