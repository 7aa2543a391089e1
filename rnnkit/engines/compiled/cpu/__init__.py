"""The time loop as generated C++."""
