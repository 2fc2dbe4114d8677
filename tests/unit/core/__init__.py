"""Settings, threads and the order of names."""
