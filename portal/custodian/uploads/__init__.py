"""Handing data over: the pages of an upload, and the transfer of its bytes."""
