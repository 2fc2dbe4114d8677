"""The migration of historical CSV files into the database."""
