"""Autoencoders of core: those that need no weights."""
