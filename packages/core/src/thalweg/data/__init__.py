"""Data sets, the order they are read in, and grids of their images."""
