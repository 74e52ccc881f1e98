"""`python -m pipeline doctor`: what is wrong with an installation, and what to do. It reads only:
no file is written, no service is started, no row of a patient is read.
"""
