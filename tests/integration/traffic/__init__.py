"""HTTP as bytes, log, metrics and traces."""
