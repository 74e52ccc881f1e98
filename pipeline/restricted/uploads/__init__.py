"""What a custodian does with an upload, and what is checked of it before any stage may read it."""
