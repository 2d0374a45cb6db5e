"""The numbers that the network fixes: the rate it works at, the length it is trained on, and its time patch."""

SFREQ = 256.0
"""The rate, in Hz, that the network works at."""

CROP = 1024
"""Samples at that rate, 4 s, which a longer training window is cropped to."""

PATCH = 64
"""Samples of one time patch: a quarter of a second."""
