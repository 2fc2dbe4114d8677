"""Sample CSV files with the shape of the real data, and their generator."""
