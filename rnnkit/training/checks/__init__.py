"""Checks before and during a run."""
