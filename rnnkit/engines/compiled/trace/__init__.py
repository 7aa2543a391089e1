"""Traces of a step, and everything that they depend on."""
