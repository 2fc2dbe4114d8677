"""The documentation and the configuration files agree with the code."""
