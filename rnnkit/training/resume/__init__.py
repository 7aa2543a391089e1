"""Exact resumption of a run."""
