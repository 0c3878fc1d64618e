"""What metrics accumulate of features, batch by batch: streamed, merged, stored."""
