"""Uploads: what custodians hand over, encrypted with a key for each upload, from the first byte to
deletion.

`records`: what is known of an upload. `pieces`: how its bytes lie on disk. `reception`: taking them
in. `decryption`: reading them again, in pipeline stages only. `deletion`: removing all that came
from it.
"""
