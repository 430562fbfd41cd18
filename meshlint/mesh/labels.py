"""What are the labels and annotations called that more than one question asks for?

The names alone: what each of them means stands where it is read. ``annotations.py`` has the tables of all
that Istio knows.
"""

from __future__ import annotations

from typing import Final

NAMESPACE_INJECTION: Final = "istio-injection"
INJECT: Final = "sidecar.istio.io/inject"
REVISION: Final = "istio.io/rev"
STATUS: Final = "sidecar.istio.io/status"
PROXY_CONFIG: Final = "proxy.istio.io/config"

MODE: Final = "istio.io/dataplane-mode"
USE_WAYPOINT: Final = "istio.io/use-waypoint"
USE_WAYPOINT_NAMESPACE: Final = "istio.io/use-waypoint-namespace"
WAYPOINT_FOR: Final = "istio.io/waypoint-for"
INGRESS_USE_WAYPOINT: Final = "istio.io/ingress-use-waypoint"

#: on what istiod makes from a Gateway of the Gateway API
MANAGED: Final = "gateway.istio.io/managed"
GATEWAY_NAME: Final = "gateway.networking.k8s.io/gateway-name"
GATEWAY_CLASS: Final = "gateway.networking.k8s.io/gateway-class-name"
#: what istiod wrote beside ``GATEWAY_NAME`` before 1.24
OLD_GATEWAY_NAME: Final = "istio.io/gateway-name"

DRY_RUN: Final = "istio.io/dry-run"
#: how the annotations begin that say which traffic of a pod is captured
TRAFFIC: Final = "traffic.sidecar.istio.io/"
EXPORT_TO: Final = "networking.istio.io/exportTo"
AUTO_ALLOCATE: Final = "networking.istio.io/enable-autoallocate-ip"
