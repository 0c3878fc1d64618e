"""Plugins for authors: what ``thalweg plugins new`` writes."""
