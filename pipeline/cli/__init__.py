"""What the command line does, one module per subject. Nothing heavy is imported before a command
needs it.
"""
