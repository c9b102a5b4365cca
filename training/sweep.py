"""Measures the shipped graphs over noise strengths and latent sizes, on the whole test set."""
