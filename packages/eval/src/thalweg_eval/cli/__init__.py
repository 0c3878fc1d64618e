"""Commands that come through ``thalweg_commands``."""
