"""The API's routes, and what they read and answer."""
