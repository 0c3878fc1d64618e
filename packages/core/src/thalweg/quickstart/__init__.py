"""The quick start: a baseline and its DeepFlow twin on real digits, trained, sampled, judged, reported."""
