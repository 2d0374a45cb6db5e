"""The contract between what makes sets and what reads them, and the version of all this code."""

__version__ = "0.2.0"
