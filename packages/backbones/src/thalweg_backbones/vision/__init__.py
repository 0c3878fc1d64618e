"""Frozen vision encoders that tokens are aligned with."""
