"""Restores of any size: new tables are filled in many transactions, then swapped with the live."""
