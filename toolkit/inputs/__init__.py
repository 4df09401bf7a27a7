"""Frozen inputs: objects that every run reads and none may change."""
