"""The loop as chunks of CUDA graphs."""
