"""Puts the documentation site together; run as ``python -m docs.site`` through ``make docs``."""
