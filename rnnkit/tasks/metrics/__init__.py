"""Figures by which tasks are judged."""
