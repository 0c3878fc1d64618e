"""A small U-ViT, an Adams-Bashforth sampler and a command for Thalweg."""
