"""Samplers and guidance for Thalweg, one small file each."""
