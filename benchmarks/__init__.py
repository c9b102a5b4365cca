"""Reproducible measurements of the service, beside the floor it stands on and its peers."""
