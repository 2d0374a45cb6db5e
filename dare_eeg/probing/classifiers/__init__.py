"""Classifiers: what is seen of windows by a frozen encoder or a classical method, and what is fitted on it."""
