"""Measurements. Each figure stands beside its floor."""
