"""What keeps an installation going: backups and their return, and what may be removed after its
time.
"""
