"""Autoencoders of latent diffusion, in the layouts in which their weights are published."""
