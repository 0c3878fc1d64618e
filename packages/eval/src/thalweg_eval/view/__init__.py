"""A page in the browser on which a trained network is sampled."""
