"""A step as a graph, with what it depends on."""
