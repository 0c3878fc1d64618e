"""Distributions of training times, one a file."""
