"""What happens to every request: limits, load shedding, log, metrics, traces."""
