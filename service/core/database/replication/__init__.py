"""Several servers with the same rows: positions, replicas for reads, limits on transactions."""
