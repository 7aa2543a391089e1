"""Tables: text with delimiters, JSON lines and Parquet, read in one way by all data modules."""
