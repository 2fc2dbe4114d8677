"""From records to rows: blocks in flight, checkpoints, dry runs."""
