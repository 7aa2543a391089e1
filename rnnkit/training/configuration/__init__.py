"""The typed schema of the configuration."""
