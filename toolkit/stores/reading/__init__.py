"""Labelled views of what is stored."""
