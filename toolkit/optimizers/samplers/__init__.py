"""Samplers of posteriors, whose evaluations are asked for and told like those of a search."""
