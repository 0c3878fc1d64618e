"""Evaluation: sets of images, statistics of their features, reference caches, protocols and passports.

:func:`thalweg.evaluate` is the way in. Metrics and extractors are plugins; here is what lies around them:
images are read or drawn by ranges of their indices, any number of processes share the ranges, what each
has seen is kept as mergeable statistics on disk, and the numbers leave with a passport that says how they
were made.
"""
