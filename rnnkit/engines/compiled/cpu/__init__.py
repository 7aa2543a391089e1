"""The loop as generated C++."""
