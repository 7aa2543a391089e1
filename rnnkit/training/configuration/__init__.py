"""The configuration: its schema, and how objects are built from it."""
