"""Paths between data and noise, one a file."""
