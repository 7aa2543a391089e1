"""File search, reading and writing."""
