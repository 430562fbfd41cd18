"""The mesh: every question about the effective state, answered lazily and once per scope.

Each property is one module of this package. A module may ask the others through the mesh.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING

from meshlint.mesh.scope import Scope, Settings

if TYPE_CHECKING:
    from meshlint.mesh.absence import Absence
    from meshlint.mesh.access import Accesses
    from meshlint.mesh.ambient import Ambient
    from meshlint.mesh.api_rules import ApiRules
    from meshlint.mesh.authn import Authn
    from meshlint.mesh.authz import Authz
    from meshlint.mesh.calls import CallGraph
    from meshlint.mesh.client_tls import ClientTls
    from meshlint.mesh.clients import Clients
    from meshlint.mesh.dataplane import DataPlanes
    from meshlint.mesh.destination_rules import DestinationRules
    from meshlint.mesh.destinations import Destinations
    from meshlint.mesh.existence import Existence
    from meshlint.mesh.exposure import Exposures
    from meshlint.mesh.gateways import Gateways
    from meshlint.mesh.identities import Identities
    from meshlint.mesh.injection import Injection
    from meshlint.mesh.jwt import Jwt
    from meshlint.mesh.matching import Matching
    from meshlint.mesh.meshconfig import MeshConfig
    from meshlint.mesh.mtls import MutualTls
    from meshlint.mesh.namespaces import Namespaces
    from meshlint.mesh.readers import Readers
    from meshlint.mesh.registry import Registry
    from meshlint.mesh.replicas import Replicas
    from meshlint.mesh.retries import Retries
    from meshlint.mesh.routes import Routes
    from meshlint.mesh.secrets import Secrets
    from meshlint.mesh.server_groups import ServerGroups
    from meshlint.mesh.sidecars import Sidecars
    from meshlint.mesh.telemetry import Telemetries
    from meshlint.mesh.timeouts import Timeouts
    from meshlint.mesh.workloads import Workloads
    from meshlint.resources import Resource
    from meshlint.schema import Schemas
    from meshlint.source.files import SourceFile


class Mesh:
    """The effective state of one scope. `files` are the inputs, for checks on the text itself."""

    def __init__(
        self,
        resources: Iterable[Resource],
        settings: Settings | None = None,
        files: Iterable[SourceFile] = (),
    ) -> None:
        self.scope = Scope(resources, settings)
        self.files = tuple(files)
        #: are findings of low confidence wanted? Where not, a check may save the work for them
        self.suspicions = True

    @property
    def settings(self) -> Settings:
        return self.scope.settings

    def holds(self, kind: str) -> bool:
        """Does the input hold an object of a kind, of whatever group?

        `Workload` stands for whatever makes pods, `MeshConfig` for whatever configures a control plane.
        """
        if kind == "Workload":
            return bool(self.workloads.all)
        if kind == "MeshConfig":
            return bool(self.config.sources)
        return kind in self.scope.kinds

    @cached_property
    def schemas(self) -> Schemas:
        from meshlint.schema import Schemas, Versions

        settings = self.settings
        versions = Versions(
            settings.istio_version,
            settings.gateway_api_version,
            settings.kubernetes_version,
            settings.gateway_api_channel,
        )
        return Schemas(self.scope.resources, versions, settings.crds)

    @cached_property
    def api_rules(self) -> ApiRules:
        from meshlint.mesh.api_rules import ApiRules

        return ApiRules(self)

    @cached_property
    def absence(self) -> Absence:
        from meshlint.mesh.absence import Absence

        return Absence(self)

    @cached_property
    def workloads(self) -> Workloads:
        from meshlint.mesh.workloads import Workloads

        return Workloads(self.scope)

    @cached_property
    def config(self) -> MeshConfig:
        from meshlint.mesh.meshconfig import MeshConfig

        return MeshConfig(self)

    @cached_property
    def namespaces(self) -> Namespaces:
        from meshlint.mesh.namespaces import Namespaces

        return Namespaces(self)

    @cached_property
    def injection(self) -> Injection:
        from meshlint.mesh.injection import Injection

        return Injection(self)

    @cached_property
    def ambient(self) -> Ambient:
        from meshlint.mesh.ambient import Ambient

        return Ambient(self)

    @cached_property
    def data_planes(self) -> DataPlanes:
        from meshlint.mesh.dataplane import DataPlanes

        return DataPlanes(self)

    @cached_property
    def mtls(self) -> MutualTls:
        from meshlint.mesh.mtls import MutualTls

        return MutualTls(self)

    @cached_property
    def client_tls(self) -> ClientTls:
        from meshlint.mesh.client_tls import ClientTls

        return ClientTls(self)

    @cached_property
    def clients(self) -> Clients:
        from meshlint.mesh.clients import Clients

        return Clients(self)

    @cached_property
    def destination_rules(self) -> DestinationRules:
        from meshlint.mesh.destination_rules import DestinationRules

        return DestinationRules(self)

    @cached_property
    def destinations(self) -> Destinations:
        from meshlint.mesh.destinations import Destinations

        return Destinations(self)

    @cached_property
    def existence(self) -> Existence:
        from meshlint.mesh.existence import Existence

        return Existence(self)

    @cached_property
    def authn(self) -> Authn:
        from meshlint.mesh.authn import Authn

        return Authn(self)

    @cached_property
    def authz(self) -> Authz:
        from meshlint.mesh.authz import Authz

        return Authz(self)

    @cached_property
    def access(self) -> Accesses:
        from meshlint.mesh.access import Accesses

        return Accesses(self)

    @cached_property
    def exposures(self) -> Exposures:
        from meshlint.mesh.exposure import Exposures

        return Exposures(self)

    @cached_property
    def jwt(self) -> Jwt:
        from meshlint.mesh.jwt import Jwt

        return Jwt(self)

    @cached_property
    def readers(self) -> Readers:
        from meshlint.mesh.readers import Readers

        return Readers(self)

    @cached_property
    def registry(self) -> Registry:
        from meshlint.mesh.registry import Registry

        return Registry(self)

    @cached_property
    def gateways(self) -> Gateways:
        from meshlint.mesh.gateways import Gateways

        return Gateways(self)

    @cached_property
    def routes(self) -> Routes:
        from meshlint.mesh.routes import Routes

        return Routes(self)

    @cached_property
    def secrets(self) -> Secrets:
        from meshlint.mesh.secrets import Secrets

        return Secrets(self)

    @cached_property
    def server_groups(self) -> ServerGroups:
        from meshlint.mesh.server_groups import ServerGroups

        return ServerGroups(self)

    @cached_property
    def sidecars(self) -> Sidecars:
        from meshlint.mesh.sidecars import Sidecars

        return Sidecars(self)

    @cached_property
    def timeouts(self) -> Timeouts:
        from meshlint.mesh.timeouts import Timeouts

        return Timeouts(self)

    @cached_property
    def retries(self) -> Retries:
        from meshlint.mesh.retries import Retries

        return Retries(self)

    @cached_property
    def telemetry(self) -> Telemetries:
        from meshlint.mesh.telemetry import Telemetries

        return Telemetries(self)

    @cached_property
    def calls(self) -> CallGraph:
        from meshlint.mesh.calls import CallGraph

        return CallGraph(self)

    @cached_property
    def matching(self) -> Matching:
        from meshlint.mesh.matching import Matching

        return Matching(self)

    @cached_property
    def replicas(self) -> Replicas:
        from meshlint.mesh.replicas import Replicas

        return Replicas(self)

    @cached_property
    def identities(self) -> Identities:
        from meshlint.mesh.identities import Identities

        return Identities(self)
