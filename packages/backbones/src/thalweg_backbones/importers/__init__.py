"""Readers of released checkpoints, one source a file."""
