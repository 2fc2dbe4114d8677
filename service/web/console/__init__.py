"""The console: HTML pages, rendered on the server."""
