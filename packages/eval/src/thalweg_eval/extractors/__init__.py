"""Networks that see features in images."""
