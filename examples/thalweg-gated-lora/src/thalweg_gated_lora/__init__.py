"""A low-rank refiner whose gate knows how far apart in time the branches are."""
