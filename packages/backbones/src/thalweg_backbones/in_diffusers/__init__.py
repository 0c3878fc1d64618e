"""Networks of ours inside diffusers: as a model, as a pipeline, and as a guider of its own models.

Importing any module of this folder imports diffusers, which ``thalweg-backbones[diffusers]`` brings.
"""
