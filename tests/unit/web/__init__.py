"""Parts of the web that need no application."""
