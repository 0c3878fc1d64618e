"""The source ``huggingface``: opening a data set, its columns, its rows by index, its shards."""
