"""The configuration files, carried by the wheel as `rnnkit.configs`."""
