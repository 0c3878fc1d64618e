"""What a trained network is like inside: measurements on held-out data, one a file."""
