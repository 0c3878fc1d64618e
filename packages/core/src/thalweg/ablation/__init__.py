"""Ablations: a grid of compositions, each trained and judged under several seeds."""
