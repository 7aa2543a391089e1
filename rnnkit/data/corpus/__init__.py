"""Text corpora of any size, stored in memory or on disk."""
