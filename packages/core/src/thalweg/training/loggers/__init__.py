"""Loggers, one a file."""
