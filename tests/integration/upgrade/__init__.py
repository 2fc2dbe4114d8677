"""From the tables and files of released versions to those of today."""
