"""Clusters of three database servers on loopback: a test kills, freezes and starts their nodes."""

from tests.support.clusters.cluster import NODES, Cluster
from tests.support.clusters.galera import Galera
from tests.support.clusters.group_replication import GroupReplication

__all__ = ["NODES", "Cluster", "Galera", "GroupReplication"]
