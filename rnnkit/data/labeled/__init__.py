"""Sequences with one answer each, or one a step: text, series and recordings for classification and regression."""
