"""The doctor: what recordings are like, from headers and samples of signal, before anything is written."""
