"""Tests on real clusters of three nodes, whose nodes are killed, frozen and restarted."""
