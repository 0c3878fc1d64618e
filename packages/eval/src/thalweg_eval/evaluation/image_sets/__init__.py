"""Sets of images that are opened by index."""
