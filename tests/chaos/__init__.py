"""Tests that kill, cut, stall and overload the service and its database."""
