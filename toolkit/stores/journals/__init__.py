"""Journals: what workers append, one file a process, and its readers."""
