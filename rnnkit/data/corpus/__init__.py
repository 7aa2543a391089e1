"""Texts of any size: read once, block by block, into a store of numbers that lies in memory or on disk."""
