"""Figures: metrics, their intervals over subjects, and whether two rows differ."""
