# How boldly a remediator may act. What holds data, and nodes, are left to people, however urgent it is.
package seawall

import rego.v1

by_hand := {"StatefulSet", "PersistentVolumeClaim", "PersistentVolume", "Node"}

path := "manual" if input.kind in by_hand

path := "manual" if endswith(input.namespace, "-db")
