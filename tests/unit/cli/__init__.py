"""The commands for operators, without a server."""
