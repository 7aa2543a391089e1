"""The time loop as chunks of CUDA graphs."""
