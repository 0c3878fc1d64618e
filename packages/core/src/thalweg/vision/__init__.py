"""Vision networks that judge samples or teach: what extractors and teachers share."""
