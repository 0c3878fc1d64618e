"""Frozen text encoders: captions to tokens, one encoder a file."""
