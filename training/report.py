"""Writes docs/reproduction.md from what was measured: no number in it is typed by hand."""
