"""The files for Kubernetes and systemd are valid and agree with the code."""
