"""The autoencoder of Stable Diffusion, in the layout in which its weights are published."""
