"""A new project: what ``thalweg init`` writes."""
