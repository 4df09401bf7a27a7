"""Examining, mending, merging and shrinking stores, and trying the file system below."""
