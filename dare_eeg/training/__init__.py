"""Training: from a shard set to an encoder."""
