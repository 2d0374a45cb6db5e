"""Shards as they are read: windows by number, rows checked, or a stream of the webdataset library."""
