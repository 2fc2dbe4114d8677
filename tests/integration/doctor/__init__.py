"""The command doctor on real servers, folders and services."""
