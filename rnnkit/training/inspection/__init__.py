"""Inspection of a trained run: what `rnnkit inspect` measures, draws and writes."""
