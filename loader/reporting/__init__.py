"""Reports of a load: summary, progress, rejects file."""
