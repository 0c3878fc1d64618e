"""Numbers made of accumulated statistics."""
