"""The quick start: an ablation of a baseline and its DeepFlow twin on real digits, with a page of its own."""
