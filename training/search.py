"""The random search of report R2: a grid, draws by a named seed, cross-validation, resumable."""
