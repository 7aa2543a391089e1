"""Times in the columns of tables: their formats, and the detection of these."""
