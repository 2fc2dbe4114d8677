"""What a load reports: summary, progress, rejects."""
