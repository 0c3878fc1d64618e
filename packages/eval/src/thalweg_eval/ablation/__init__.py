"""Ablations: a grid of compositions, each trained and scored under several seeds."""
