"""meshlint: a policy-as-code linter for Istio service-mesh manifests."""

__version__ = "0.1.0"
