"""The public register of who uses which release for what."""
