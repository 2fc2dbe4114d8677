"""Restores of any size: they fill new tables in many transactions, then swap them in."""
