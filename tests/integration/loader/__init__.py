"""Loads of files into a real database."""
