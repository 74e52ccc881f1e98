"""Does code that was written for the registry run on an extract, and on the source, alike? A dozen
analyses as public scripts write them, and what they brought back.
"""
