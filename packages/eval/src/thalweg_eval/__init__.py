"""Metrics and feature extractors for Thalweg."""
