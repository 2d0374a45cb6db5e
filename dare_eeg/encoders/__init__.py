"""Encoders: what any encoder answers, ours, the published ones, and their weights on disk."""
