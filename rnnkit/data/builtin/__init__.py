"""Generated data sets, and data sets with their own file formats."""
