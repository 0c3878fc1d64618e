"""Averages of the weights over training, one a file."""
