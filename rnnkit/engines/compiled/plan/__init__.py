"""The plan of a compiled step: hoisting, saved values and the order of the loop."""
