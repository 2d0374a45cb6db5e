"""Probing: what an encoder's features are worth on a labelled set."""
