"""Applications that run in the peers' own environments. Each is what its documentation shows."""
