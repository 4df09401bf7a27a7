"""Clusters: profiles, and the local machine as one."""
