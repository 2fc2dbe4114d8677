"""The application and a real database, in the process of the test."""
