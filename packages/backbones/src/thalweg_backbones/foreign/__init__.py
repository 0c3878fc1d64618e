"""Weights that other programs wrote: checkpoints and published networks, read without executing anything."""
