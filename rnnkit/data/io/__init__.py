"""Files: finding, reading, counting what is left out, writing."""
