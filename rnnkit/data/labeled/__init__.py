"""Labeled sequences for classification and regression: text, series and recordings."""
