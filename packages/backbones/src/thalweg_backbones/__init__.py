"""Backbones for Thalweg, and importers of released weights."""
