"""Benches: shipped ablations of methods over several data sets, with a joint page."""
