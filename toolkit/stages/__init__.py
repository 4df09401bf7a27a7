"""Stages: a function with its arguments, its outputs and the running of one batch."""
