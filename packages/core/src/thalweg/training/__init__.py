"""Training with Lightning Fabric: the only folder that imports it."""
