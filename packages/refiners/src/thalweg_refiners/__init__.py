"""Refiners for Thalweg: what stands between the branches of a network."""
