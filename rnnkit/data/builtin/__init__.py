"""Data sets that the package makes itself, or reads with rules of their own."""
