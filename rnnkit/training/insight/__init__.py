"""Measurement of a model while it is trained: gradients through time, gates, dynamics, and alarms in words."""
