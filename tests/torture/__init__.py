"""Torture: kills, signals, damage, hostile files and power cuts, seeded; see ``python tests/torture --help``.

Not collected by pytest. ``make torture`` runs all of it and writes the table that docs/security.md includes.
"""
