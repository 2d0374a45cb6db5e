"""The formats of raw files, each to a header and to signal in µV; `readers` tells them apart."""
