"""What the source ``huggingface`` is made of: opening a data set, its columns, its rows by index, its shards."""
