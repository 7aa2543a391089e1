"""Schedules, clipping and averaging."""
