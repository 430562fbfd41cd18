"""MeshConfig and MeshNetworks: the tables of spec schemas 3.3, one case or more for each row."""

from __future__ import annotations

import pytest

from meshlint.checks.admission.mesh_proxy_defaults import address_problem
from meshlint.policy.run import run
from tests.checks.admission.support import Row, check_row, findings, rule_named, uncovered
from tests.support import mesh_of

COUNTS = {
    "MeshConfig": 21,
    "MeshConfig.defaultConfig": 31,
    "MeshConfig.extensionProviders": 9,
    "MeshNetworks": 5,
}
CONFIG = "/spec/meshConfig"
PROXY = f"{CONFIG}/defaultConfig"
POLICY = f"{CONFIG}/defaultTrafficPolicy"
RETRIES = f"{CONFIG}/defaultInboundHttpRetryPolicy"
PROVIDER = f"{CONFIG}/extensionProviders/0"
NETWORK = "/spec/values/global/meshNetworks/a"


def operator(text: str) -> str:
    return (
        "apiVersion: install.istio.io/v1alpha1\nkind: IstioOperator\n"
        f"metadata: {{name: mesh, namespace: istio-system}}\nspec: {{{text}}}\n"
    )


def mesh(text: str) -> str:
    return operator(f"meshConfig: {{{text}}}")


def proxy(text: str) -> str:
    return mesh(f"defaultConfig: {{{text}}}")


def policy(text: str) -> str:
    return mesh(f"defaultTrafficPolicy: {{{text}}}")


def pool(text: str) -> str:
    return policy(f"connectionPool: {{{text}}}")


def retries(text: str) -> str:
    return mesh(f"defaultInboundHttpRetryPolicy: {{{text}}}")


def tracing(text: str) -> str:
    return proxy(f"tracing: {{{text}}}")


def tls(text: str) -> str:
    return tracing(f"tlsSettings: {{{text}}}")


def keys(text: str) -> str:
    return proxy(f"privateKeyProvider: {{{text}}}")


def connections(text: str) -> str:
    return proxy(f"connectionSettings: {{{text}}}")


def provider(text: str, name: str = "name: a, ") -> str:
    return mesh(f"extensionProviders: [{{{name}{text}}}]")


def networked(text: str, kind: str = "zipkin") -> str:
    return provider(f"{kind}: {{{text}}}")


def network(text: str) -> str:
    return operator(f"values: {{global: {{meshNetworks: {{a: {{{text}}}}}}}}}")


SERVICE = "service: a.b.svc.cluster.local, port: 80"
VALUES = "mesh-config-values"
DEFAULTS = "mesh-default-config"
TRAFFIC = "mesh-traffic-defaults"
PROVIDERS = "mesh-extension-provider"
NETWORKS = "mesh-networks"


def locality(number: int, setting: str, pointer: str, bad: str, good: str) -> Row:
    documents = [mesh(f"{setting}: {{{text}}}") for text in (bad, good)]
    return Row(number, TRAFFIC, f"{CONFIG}/{setting}/{pointer}", *documents)


def negative(number: int, name: str, bad: str, good: str) -> Row:
    return Row(
        number,
        DEFAULTS,
        f"{PROXY}/connectionSettings/{name}",
        connections(f"{name}: {bad}"),
        connections(f"{name}: {good}"),
    )


ZONES = "failoverPriority: [topology.kubernetes.io/zone]"
MESH_CONFIG = [
    Row(1, VALUES, f"{CONFIG}/proxyListenPort", mesh("proxyListenPort: 65536"), mesh("proxyListenPort: 1")),
    Row(2, VALUES, f"{CONFIG}/connectTimeout", mesh("connectTimeout: 0s"), mesh("connectTimeout: 1ms")),
    Row(2, VALUES, f"{CONFIG}/connectTimeout", mesh("connectTimeout: 1500us"), mesh("connectTimeout: 1.5s")),
    Row(2, VALUES, f"{CONFIG}/connectTimeout", mesh("connectTimeout: 10"), mesh("connectTimeout: '${T}'")),
    Row(3, VALUES, f"{CONFIG}/connectTimeout", mesh("connectTimeout: 61m"), mesh("connectTimeout: 60m")),
    Row(
        4,
        VALUES,
        f"{CONFIG}/protocolDetectionTimeout",
        mesh("protocolDetectionTimeout: 1500us"),
        mesh("protocolDetectionTimeout: 0s"),
    ),
    locality(
        6,
        "localityLbSetting",
        "failover/0/to",
        "failover: [{from: a, to: a}]",
        "failover: [{from: a, to: b}]",
    ),
    locality(
        6,
        "localityLbSetting",
        "distribute/0/to/a",
        "distribute: [{from: a, to: {a: 101}}]",
        "distribute: [{from: a, to: {a: 100}}]",
    ),
    locality(7, "zoneAwareLbSetting", "failoverPriority/0", ZONES, "failoverPriority: [a]"),
    locality(
        7,
        "zoneAwareLbSetting",
        "failover/0/from",
        "failover: [{from: a/b, to: a}]",
        "failover: [{from: a, to: b}]",
    ),
    Row(
        8,
        VALUES,
        f"{CONFIG}/serviceSettings/0/hosts/0",
        mesh("serviceSettings: [{hosts: ['a.*']}]"),
        mesh("serviceSettings: [{hosts: ['*.a']}]"),
    ),
    Row(9, VALUES, f"{CONFIG}/trustDomain", mesh("trustDomain: ''"), mesh("trustDomain: a.")),
    Row(9, VALUES, f"{CONFIG}/trustDomain", mesh("trustDomain: a_b"), mesh("trustDomain: '${DOMAIN}'")),
    Row(
        10,
        VALUES,
        f"{CONFIG}/trustDomainAliases/0",
        mesh("trustDomainAliases: ['a..b']"),
        mesh("trustDomainAliases: [a.b]"),
    ),
    Row(
        12,
        VALUES,
        f"{CONFIG}/meshMTLS/ecdhCurves",
        mesh("meshMTLS: {ecdhCurves: [P-256]}"),
        mesh("meshMTLS: {}"),
    ),
    Row(
        13,
        VALUES,
        f"{CONFIG}/tlsDefaults/ecdhCurves/0",
        mesh("tlsDefaults: {ecdhCurves: [P-1]}"),
        mesh("tlsDefaults: {ecdhCurves: [P-256]}"),
        "warning",
    ),
    Row(
        14,
        VALUES,
        f"{CONFIG}/tlsDefaults/ecdhCurves/1",
        mesh("tlsDefaults: {ecdhCurves: [P-256, P-256]}"),
        mesh("tlsDefaults: {ecdhCurves: [P-256, P-384]}"),
        "warning",
    ),
    Row(15, TRAFFIC, f"{POLICY}/connectionPool", pool(""), pool("http: {}")),
    Row(
        15,
        TRAFFIC,
        f"{POLICY}/connectionPool/http/maxRetries",
        pool("http: {maxRetries: -1}"),
        pool("http: {maxRetries: 0}"),
    ),
    Row(
        15,
        TRAFFIC,
        f"{POLICY}/connectionPool/http/useClientProtocol",
        pool("http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}"),
        pool("http: {h2UpgradePolicy: UPGRADE, http2KeepAlive: {}}"),
    ),
    Row(
        15,
        TRAFFIC,
        f"{POLICY}/connectionPool/tcp/tcpKeepalive/time",
        pool("tcp: {tcpKeepalive: {time: 0s}}"),
        pool("tcp: {tcpKeepalive: {time: 1s}}"),
    ),
    Row(
        16,
        TRAFFIC,
        f"{POLICY}/outlierDetection/interval",
        policy("outlierDetection: {interval: 0s}"),
        policy("outlierDetection: {interval: 1s, consecutiveErrors: 1}"),
    ),
    Row(
        16,
        TRAFFIC,
        f"{POLICY}/outlierDetection/minHealthPercent",
        policy("outlierDetection: {minHealthPercent: 101}"),
        policy("outlierDetection: {minHealthPercent: 100}"),
    ),
    Row(
        16,
        TRAFFIC,
        f"{POLICY}/outlierDetection/consecutiveLocalOriginFailures",
        policy("outlierDetection: {consecutiveLocalOriginFailures: 1}"),
        policy("outlierDetection: {consecutiveLocalOriginFailures: 1, splitExternalLocalOriginErrors: true}"),
    ),
    Row(17, TRAFFIC, f"{RETRIES}/attempts", retries("attempts: -1"), retries("attempts: 0")),
    Row(
        17,
        TRAFFIC,
        f"{RETRIES}/retryOn",
        retries("attempts: 1, retryOn: '5xx, 503'"),
        retries("attempts: 1, retryOn: '5xx,503'"),
    ),
    Row(
        17,
        TRAFFIC,
        f"{RETRIES}/backoff",
        retries("attempts: 1, backoff: 0s"),
        retries("attempts: 1, backoff: 1s"),
    ),
    Row(
        18,
        TRAFFIC,
        f"{RETRIES}/backoff",
        retries("attempts: 0, backoff: 1s"),
        retries("attempts: 1, backoff: 1s"),
    ),
    Row(
        19,
        TRAFFIC,
        f"{RETRIES}/perTryTimeout",
        retries("attempts: 1, perTryTimeout: 1s"),
        retries("attempts: 1"),
        "warning",
    ),
    Row(
        20,
        TRAFFIC,
        f"{RETRIES}/retryRemoteLocalities",
        retries("retryRemoteLocalities: true"),
        retries(""),
        "warning",
    ),
    Row(
        21,
        TRAFFIC,
        f"{RETRIES}/retryIgnorePreviousHosts",
        retries("retryIgnorePreviousHosts: true"),
        retries(""),
        "warning",
    ),
]
PROXY_CONFIG = [
    *(
        Row(number, DEFAULTS, f"{PROXY}/{name}", proxy(f"{name}: ''"), proxy(f"{name}: {good}"))
        for number, name, good in (
            (1, "configPath", "./a"),
            (2, "binaryPath", "/a"),
            (3, "serviceCluster", "a"),
            (7, "discoveryAddress", "a.b:15012"),
        )
    ),
    Row(5, DEFAULTS, f"{PROXY}/drainDuration", proxy("drainDuration: 0s"), proxy("drainDuration: 1s")),
    Row(6, DEFAULTS, f"{PROXY}/drainDuration", proxy("drainDuration: 1500ms"), proxy("drainDuration: 60s")),
    Row(
        8,
        DEFAULTS,
        f"{PROXY}/discoveryAddress",
        proxy("discoveryAddress: a.b"),
        proxy("discoveryAddress: '10.0.0.1:1'"),
    ),
    Row(
        9,
        DEFAULTS,
        f"{PROXY}/tracing/lightstep/address",
        tracing("lightstep: {accessToken: a, address: a}"),
        tracing("lightstep: {accessToken: a, address: 'a:1'}"),
    ),
    Row(
        10,
        DEFAULTS,
        f"{PROXY}/tracing/lightstep/accessToken",
        tracing("lightstep: {accessToken: '', address: 'a:1'}"),
        tracing("lightstep: {accessToken: a, address: 'a:1'}"),
    ),
    Row(
        11,
        DEFAULTS,
        f"{PROXY}/tracing/zipkin/address",
        tracing("zipkin: {address: 'http://a:1'}"),
        tracing("zipkin: {address: 'a:1'}"),
    ),
    Row(
        11,
        DEFAULTS,
        f"{PROXY}/tracing/zipkin/address",
        tracing("zipkin: {address: $(HOST_IP)}"),
        tracing("zipkin: {address: '$(HOST_IP):1'}"),
    ),
    Row(
        12,
        DEFAULTS,
        f"{PROXY}/tracing/datadog/address",
        tracing("datadog: {address: 'a:0'}"),
        tracing("datadog: {address: '$(HOST_IP):8126'}"),
    ),
    Row(
        12,
        DEFAULTS,
        f"{PROXY}/tracing/datadog",
        tracing("datadog: {}"),
        tracing("datadog: {address: '[::1]:1'}"),
    ),
    Row(
        13,
        DEFAULTS,
        f"{PROXY}/tracing/tlsSettings",
        tls("mode: MUTUAL, clientCertificate: a"),
        tls("mode: MUTUAL, clientCertificate: a, privateKey: b"),
    ),
    Row(
        13,
        DEFAULTS,
        f"{PROXY}/tracing/tlsSettings/credentialName",
        tls("mode: SIMPLE, credentialName: a, caCertificates: b"),
        tls("mode: SIMPLE, credentialName: a"),
    ),
    Row(
        13,
        DEFAULTS,
        f"{PROXY}/tracing/tlsSettings/insecureSkipVerify",
        tls("mode: SIMPLE, insecureSkipVerify: true, caCertificates: b"),
        tls("mode: SIMPLE, insecureSkipVerify: true"),
    ),
    Row(
        15,
        DEFAULTS,
        f"{PROXY}/statsdUdpAddress",
        proxy("statsdUdpAddress: a"),
        proxy("statsdUdpAddress: 'a:1'"),
    ),
    Row(
        16,
        DEFAULTS,
        f"{PROXY}/envoyMetricsServiceAddress",
        proxy("envoyMetricsServiceAddress: 'a:b'"),
        proxy("envoyMetricsServiceAddress: 'a:1'"),
    ),
    Row(
        17,
        DEFAULTS,
        f"{PROXY}/proxyMetadata/ISTIO_META_DNS_AUTO_ALLOCATE",
        proxy("proxyMetadata: {ISTIO_META_DNS_AUTO_ALLOCATE: 'true'}"),
        proxy("proxyMetadata: {A: 'true'}"),
        "warning",
    ),
    Row(
        18,
        DEFAULTS,
        f"{PROXY}/envoyMetricsService/address",
        proxy("envoyMetricsService: {address: a}"),
        proxy("envoyMetricsService: {address: 'a:1'}"),
    ),
    Row(
        19,
        DEFAULTS,
        f"{PROXY}/envoyAccessLogService/address",
        proxy("envoyAccessLogService: {address: a}"),
        proxy("envoyAccessLogService: {address: ''}"),
    ),
    Row(20, DEFAULTS, f"{PROXY}/proxyAdminPort", proxy("proxyAdminPort: 0"), proxy("proxyAdminPort: 15000")),
    Row(
        21,
        DEFAULTS,
        f"{PROXY}/controlPlaneAuthPolicy",
        proxy("controlPlaneAuthPolicy: MTLS"),
        proxy("controlPlaneAuthPolicy: MUTUAL_TLS"),
    ),
    Row(22, DEFAULTS, f"{PROXY}/statusPort", proxy("statusPort: 65536"), proxy("statusPort: 15020")),
    Row(23, DEFAULTS, f"{PROXY}/privateKeyProvider", keys(""), keys("qat: {pollDelay: 1ms}")),
    Row(
        24,
        DEFAULTS,
        f"{PROXY}/privateKeyProvider/cryptomb",
        keys("cryptomb: {}"),
        keys("cryptomb: {pollDelay: 1ms}"),
    ),
    Row(
        25,
        DEFAULTS,
        f"{PROXY}/privateKeyProvider/qat/pollDelay",
        keys("qat: {pollDelay: 0s}"),
        keys("qat: {pollDelay: 1ms}"),
    ),
    negative(26, "listenerPerConnectionBufferLimitBytes", "-1", "0"),
    negative(26, "clusterPerConnectionBufferLimitBytes", "-1", "0"),
    *(
        negative(27, name, "-1s", "0s")
        for name in (
            "httpIdleTimeout",
            "httpMaxConnectionDuration",
            "httpDrainTimeout",
            "httpRequestTimeout",
            "httpRequestHeadersTimeout",
            "httpStreamIdleTimeout",
            "httpMaxStreamDuration",
        )
    ),
    negative(28, "httpMaxConcurrentStreams", "0", "1"),
    negative(29, "http2InitialStreamWindowSize", "65534", "65535"),
    negative(29, "http2InitialConnectionWindowSize", "65534", "65535"),
    negative(30, "listenerConnectionLimit", "0", "1"),
    negative(31, "globalDownstreamConnectionLimit", "0", "1"),
]
GOOD = networked(SERVICE)
EXTENSION_PROVIDERS = [
    Row(
        1,
        PROVIDERS,
        f"{PROVIDER}/name",
        provider("prometheus: {}", "name: '', "),
        provider("prometheus: {}"),
        "warning",
    ),
    Row(
        2,
        PROVIDERS,
        f"{CONFIG}/extensionProviders/1/name",
        mesh("extensionProviders: [{name: a, prometheus: {}}, {name: a, sds: {}}]"),
        provider("prometheus: {}"),
        "warning",
    ),
    Row(3, PROVIDERS, f"{PROVIDER}/zipkin", networked("port: 80"), GOOD, "warning"),
    *(
        Row(
            3,
            PROVIDERS,
            f"{PROVIDER}/{kind}/service",
            networked(f"service: '{bad}', port: 80", kind),
            networked(f"service: '{good}', port: 80", kind),
            "warning",
        )
        for kind, bad, good in (
            ("skywalking", "a_b", "a"),
            ("envoyOtelAls", "", "10.0.0.1"),
            ("envoyHttpAls", "a/b", "a/b.c"),
            ("envoyTcpAls", "a_b/b.c", "a-b/b.c"),
            ("envoyExtAuthzGrpc", "http://a.b", "*/a.b"),
            ("opentelemetry", "a:4317", "./a.b"),
        )
    ),
    Row(
        4,
        PROVIDERS,
        f"{PROVIDER}/datadog/port",
        networked("service: a.b, port: 65536", "datadog"),
        networked("service: a.b, port: 1", "datadog"),
        "warning",
    ),
    Row(
        4,
        PROVIDERS,
        f"{PROVIDER}/opencensus",
        networked("service: a.b", "opencensus"),
        networked(SERVICE, "opencensus"),
        "warning",
    ),
    Row(
        5,
        PROVIDERS,
        f"{PROVIDER}/envoyExtAuthzHttp/statusOnError",
        networked(f"{SERVICE}, statusOnError: '418'", "envoyExtAuthzHttp"),
        networked(f"{SERVICE}, statusOnError: '403'", "envoyExtAuthzHttp"),
        "warning",
    ),
    Row(
        6,
        PROVIDERS,
        f"{PROVIDER}/envoyExtAuthzHttp/pathPrefix",
        networked(f"{SERVICE}, pathPrefix: a", "envoyExtAuthzHttp"),
        networked(f"{SERVICE}, pathPrefix: /a", "envoyExtAuthzHttp"),
        "warning",
    ),
    Row(
        6,
        PROVIDERS,
        f"{PROVIDER}/envoyExtAuthzHttp/pathPrefix",
        networked(f"{SERVICE}, pathPrefix: /%", "envoyExtAuthzHttp"),
        networked(f"{SERVICE}, pathPrefix: ''", "envoyExtAuthzHttp"),
        "warning",
    ),
    Row(
        7,
        PROVIDERS,
        f"{PROVIDER}/lightstep",
        networked(SERVICE, "lightstep"),
        networked(f"{SERVICE}, accessToken: a", "lightstep"),
        "warning",
    ),
    Row(
        8,
        PROVIDERS,
        f"{PROVIDER}/opentelemetry/grpc",
        networked(f"{SERVICE}, grpc: {{}}, http: {{path: a, timeout: 1s}}", "opentelemetry"),
        networked(f"{SERVICE}, grpc: {{}}", "opentelemetry"),
        "warning",
    ),
    Row(
        9,
        PROVIDERS,
        f"{PROVIDER}/otlp",
        provider("otlp: {}"),
        provider("envoy_file_access_log: {}"),
        "warning",
    ),
    Row(
        9,
        PROVIDERS,
        f"{PROVIDER}/name",
        mesh("extensionProviders: [{name: a}]"),
        provider("prometheus: {}"),
        "warning",
    ),
]
GATEWAY = f"{NETWORK}/gateways/0"
MESH_NETWORKS = [
    Row(
        1,
        NETWORKS,
        f"{NETWORK}/endpoints/0/fromCidr",
        network("endpoints: [{fromCidr: 10.0.0.0/33}]"),
        network("endpoints: [{fromCidr: 10.0.0.1/8}]"),
    ),
    Row(
        2,
        NETWORKS,
        f"{NETWORK}/endpoints/0/fromRegistry",
        network("endpoints: [{fromRegistry: a.b}]"),
        network("endpoints: [{fromRegistry: a-b}]"),
    ),
    Row(
        3,
        NETWORKS,
        f"{GATEWAY}/registryServiceName",
        network("gateways: [{registryServiceName: a_b, port: 1}]"),
        network("gateways: [{registryServiceName: a.b, port: 1}]"),
    ),
    Row(
        4,
        NETWORKS,
        f"{GATEWAY}/address",
        network("gateways: [{address: 10.0.0.256, port: 1}]"),
        network("gateways: [{address: 10.0.0.255, port: 1}]"),
    ),
    Row(
        4,
        NETWORKS,
        f"{GATEWAY}/address",
        network("gateways: [{address: 'a b', port: 1}]"),
        network("gateways: [{address: a.b, port: 1}]"),
    ),
    Row(
        5,
        NETWORKS,
        f"{GATEWAY}/port",
        network("gateways: [{address: 10.0.0.1, port: 0}]"),
        network("gateways: [{address: 10.0.0.1, port: 1}]"),
    ),
    Row(
        5,
        NETWORKS,
        f"{GATEWAY}/address",
        network("gateways: [{address: 10.0.0.1}]"),
        network("gateways: [{address: 10.0.0.1, port: 1}]"),
    ),
]
TABLES = {
    "MeshConfig": MESH_CONFIG,
    "MeshConfig.defaultConfig": PROXY_CONFIG,
    "MeshConfig.extensionProviders": EXTENSION_PROVIDERS,
    "MeshNetworks": MESH_NETWORKS,
}
NOT_DONE = {
    # istiod lays what is written over its defaults, so that none of these can be missing
    "MeshConfig": {5: "the defaults have it", 11: "the table of extensionProviders"},
    "MeshConfig.defaultConfig": {4: "the defaults have serviceCluster", 14: "null may come from a template"},
    "MeshConfig.extensionProviders": {},
    "MeshNetworks": {},
}
CASES = [pytest.param(row, id=f"{kind}-{row.number}") for kind, rows in TABLES.items() for row in rows]


@pytest.mark.parametrize("row", CASES)
def test_row(row: Row) -> None:
    check_row("IstioOperator", row.rule, row.bad, row.good, row.pointer, row.severity)


@pytest.mark.parametrize("kind", TABLES)
def test_every_row_is_accounted_for(kind: str) -> None:
    assert uncovered(COUNTS[kind], TABLES[kind], NOT_DONE[kind]) == set()


CONFIG_MAP = """
apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |-
    connectTimeout: 0s
  meshNetworks: |-
    networks:
      a: {endpoints: [{fromCidr: a}]}
"""


def test_the_line_inside_of_a_config_map() -> None:
    for rule, line in ((VALUES, 7), (NETWORKS, 10)):
        (finding,) = findings("ConfigMap", rule, CONFIG_MAP)
        assert finding.location.start_line == line
        assert finding.message.startswith("ConfigMap istio-system/istio")


def test_values_files_have_no_name() -> None:
    found, _ = run([rule_named(VALUES)], mesh_of(**{"values.yaml": "meshConfig: {trustDomain: a_b}\n"}))
    assert [f.message for f in found] == [
        "values.yaml names the trust domain 'a_b'; istiod refuses the mesh configuration"
    ]


def test_host_names_of_gateways_where_they_are_not_resolved() -> None:
    text = operator(
        "values: {pilot: {env: {RESOLVE_HOSTNAME_GATEWAYS: 'false'}}, "
        "global: {meshNetworks: {a: {gateways: [{address: a.b, port: 1}]}}}}"
    )
    (finding,) = findings("IstioOperator", NETWORKS, text)
    assert "RESOLVE_HOSTNAME_GATEWAYS is off" in finding.message


@pytest.mark.parametrize("text", ["a", "a:", ":1", "a:1:2", "::1:1", "[::1]", "[a]:0", "a_b:1", "a:65536"])
def test_texts_that_are_no_addresses(text: str) -> None:
    assert address_problem(text)


@pytest.mark.parametrize("text", ["a:1", "a.b.:1", "[::1]:1", "10.0.0.1:65535"])
def test_addresses(text: str) -> None:
    assert address_problem(text) == ""
