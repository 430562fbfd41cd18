"""DestinationRule: the table of spec schemas 3.3, one case for each row."""

from __future__ import annotations

import pytest

from meshlint.mesh.scope import Settings
from tests.checks.admission.support import Row, check_row, findings, params, uncovered

KIND = "DestinationRule"
COUNT = 81
TP = "/spec/trafficPolicy"
LB = f"{TP}/loadBalancer"
HASH = f"{LB}/consistentHash"
LOCALITY = f"{LB}/localityLbSetting"
ZONE = f"{LB}/zoneAwareLbSetting"
TLS = f"{TP}/tls"


def policy(text: str) -> str:
    return f"host: a\ntrafficPolicy: {text}"


def outlier(text: str) -> str:
    return policy(f"{{outlierDetection: {text}}}")


def pool(text: str) -> str:
    return policy(f"{{connectionPool: {text}}}")


def balancer(text: str, more: str = "") -> str:
    return policy(f"{{loadBalancer: {text}{more}}}")


def hashing(text: str) -> str:
    return balancer(f"{{consistentHash: {text}}}")


def locality(text: str, outlier: bool = True) -> str:
    return balancer(f"{{localityLbSetting: {text}}}", ", outlierDetection: {}" if outlier else "")


def zone(text: str, outlier: bool = True) -> str:
    return balancer(f"{{zoneAwareLbSetting: {text}}}", ", outlierDetection: {}" if outlier else "")


def tls(text: str) -> str:
    return policy(f"{{tls: {text}}}")


def subset(text: str, *more: str) -> str:
    return f"host: a\nsubsets: [{', '.join(f'{{{t}}}' for t in (text, *more))}]"


def exported(entries: str, more: str = "") -> str:
    return f"host: a\nexportTo: {entries}{more}"


SELECTED = "\nworkloadSelector: {matchLabels: {app: a}}"
CERTIFICATE = "clientCertificate: /c, privateKey: /k"
REGION = "topology.kubernetes.io/region"


def count(part: str, name: str, number: int) -> Row:
    path = f"{TP}/connectionPool/{part}/{name}"
    return Row(
        number, "dr-pool", path, pool(f"{{{part}: {{{name}: -1}}}}"), pool(f"{{{part}: {{{name}: 1}}}}")
    )


def duration(number: int, path: str) -> Row:
    """Durations are all said by one rule, whatever they are for."""
    names = path.split("/")
    flow = "".join(f"{{{name}: " for name in names[:-1])

    def text(value: str) -> str:
        return policy(f"{flow}{{{names[-1]}: {value}}}" + "}" * (len(names) - 1))

    return Row(number, "timeout-invalid", f"{TP}/{path}", text("1us"), text("1s"))


ROWS = [
    Row(1, "dr-host", "/spec/host", "host: 'http://a'", "host: '*.a.example.com'"),
    Row(2, "dr-empty-policy", "/spec/trafficPolicy", policy("{}"), policy("{retryBudget: {}}")),
    Row(
        3,
        "dr-tunnel",
        f"{TP}/proxyProtocol",
        policy("{tunnel: {targetHost: a, targetPort: 1}, proxyProtocol: {version: V1}}"),
        policy("{tunnel: {targetHost: a, targetPort: 1}}"),
    ),
    duration(4, "outlierDetection/baseEjectionTime"),
    Row(
        5,
        "outlier-deprecated",
        f"{TP}/outlierDetection/consecutiveErrors",
        outlier("{consecutiveErrors: 5}"),
        outlier("{consecutiveErrors: 0}"),
        "warning",
    ),
    Row(
        6,
        "outlier-local-origin",
        f"{TP}/outlierDetection/consecutiveLocalOriginFailures",
        outlier("{consecutiveLocalOriginFailures: 3, splitExternalLocalOriginErrors: false}"),
        outlier("{consecutiveLocalOriginFailures: 3, splitExternalLocalOriginErrors: true}"),
    ),
    duration(7, "outlierDetection/interval"),
    Row(
        8,
        "dr-outlier-percent",
        f"{TP}/outlierDetection/maxEjectionPercent",
        outlier("{maxEjectionPercent: 101}"),
        outlier("{maxEjectionPercent: 100}"),
    ),
    Row(
        9,
        "dr-outlier-percent",
        f"{TP}/outlierDetection/minHealthPercent",
        outlier("{minHealthPercent: -1}"),
        outlier("{minHealthPercent: 0}"),
    ),
    Row(10, "dr-empty-policy", f"{TP}/connectionPool", pool("{}"), pool("{tcp: {}}")),
    count("http", "http1MaxPendingRequests", 11),
    count("http", "http2MaxRequests", 12),
    count("http", "maxRequestsPerConnection", 13),
    count("http", "maxRetries", 14),
    count("http", "maxConcurrentStreams", 15),
    duration(16, "connectionPool/http/idleTimeout"),
    Row(
        17,
        "dr-pool",
        f"{TP}/connectionPool/http/useClientProtocol",
        pool("{http: {useClientProtocol: true, h2UpgradePolicy: UPGRADE}}"),
        pool("{http: {useClientProtocol: true, h2UpgradePolicy: DEFAULT}}"),
    ),
    Row(
        18,
        "dr-pool",
        f"{TP}/connectionPool/http/http2KeepAlive",
        pool("{http: {http2KeepAlive: {timeout: 1s}}}"),
        pool("{http: {http2KeepAlive: {timeout: 1s, interval: 1s}}}"),
    ),
    duration(19, "connectionPool/http/http2KeepAlive/timeout"),
    count("tcp", "maxConnections", 20),
    duration(21, "connectionPool/tcp/connectTimeout"),
    duration(22, "connectionPool/tcp/maxConnectionDuration"),
    Row(
        23,
        "timeout-invalid",
        f"{TP}/connectionPool/tcp/idleTimeout",
        pool("{tcp: {idleTimeout: 1d}}"),
        pool("{tcp: {idleTimeout: 0s}}"),
    ),
    duration(24, "connectionPool/tcp/tcpKeepalive/time"),
    duration(25, "connectionPool/tcp/tcpKeepalive/interval"),
    Row(
        26,
        "dr-cookie",
        f"{HASH}/httpCookie/name",
        hashing("{httpCookie: {name: ''}}"),
        hashing("{httpCookie: {name: a}}"),
    ),
    Row(
        27,
        "dr-cookie",
        f"{HASH}/httpCookie/attributes/0/name",
        hashing("{httpCookie: {name: a, attributes: [{name: ''}]}}"),
        hashing("{httpCookie: {name: a, attributes: [{name: b}]}}"),
    ),
    Row(
        28,
        "dr-cookie",
        f"{HASH}/httpCookie/attributes/1/name",
        hashing("{httpCookie: {name: a, attributes: [{name: b}, {name: b}]}}"),
        hashing("{httpCookie: {name: a, attributes: [{name: a}, {name: b}]}}"),
    ),
    Row(
        29,
        "dr-ring-size",
        f"{HASH}/minimumRingSize",
        hashing("{useSourceIp: true, minimumRingSize: 9}"),
        hashing("{useSourceIp: true, minimumRingSize: 0}"),
        "warning",
    ),
    Row(
        30,
        "dr-ring-size",
        f"{HASH}/minimumRingSize",
        hashing("{useSourceIp: true, minimumRingSize: 9, ringHash: {}}"),
        hashing("{useSourceIp: true, ringHash: {minimumRingSize: 9}}"),
        "error",
    ),
    Row(
        31,
        "lb-maglev",
        f"{HASH}/maglev/tableSize",
        hashing("{maglev: {tableSize: 0}}"),
        hashing("{maglev: {tableSize: 2}}"),
    ),
    Row(
        32,
        "lb-maglev",
        f"{HASH}/maglev/tableSize",
        hashing("{maglev: {tableSize: 5000011}}"),
        hashing("{maglev: {tableSize: 4999999}}"),
    ),
    Row(
        33,
        "lb-maglev",
        f"{HASH}/maglev/tableSize",
        hashing("{maglev: {tableSize: 9}}"),
        hashing("{maglev: {tableSize: 1}}"),
    ),
    Row(
        34,
        "dr-locality-failover",
        f"{LB}/zoneAwareLbSetting",
        balancer("{localityLbSetting: {}, zoneAwareLbSetting: {}}"),
        balancer("{zoneAwareLbSetting: {}}"),
    ),
    Row(
        35,
        "locality-distribute",
        f"{LOCALITY}/failover",
        locality("{distribute: [{from: a, to: {b: 100}}], failover: [{from: a, to: b}]}"),
        locality("{distribute: [{from: a, to: {b: 100}}], failover: []}"),
    ),
    Row(
        36,
        "dr-locality-failover",
        f"{LOCALITY}/failoverPriority/0",
        locality(f"{{failover: [{{from: a, to: b}}], failoverPriority: [{REGION}]}}"),
        locality(f"{{failoverPriority: [{REGION}]}}"),
    ),
    Row(
        37,
        "locality-distribute",
        f"{LOCALITY}/distribute/0/to/b",
        locality("{distribute: [{from: a, to: {b: 0, c: 100}}]}"),
        locality("{distribute: [{from: a, to: {b: 1, c: 99}}]}"),
    ),
    Row(
        38,
        "locality-distribute",
        f"{LOCALITY}/distribute/0/to",
        locality("{distribute: [{from: a, to: {b: 1, c: 1}}]}"),
        locality("{distribute: [{from: a, to: {b: 100}}]}"),
    ),
    Row(
        39,
        "locality-distribute",
        f"{LOCALITY}/distribute/0/from",
        locality("{distribute: [{from: a/*/c, to: {b: 100}}]}"),
        locality("{distribute: [{from: a/b/*, to: {b: 100}}]}"),
    ),
    Row(
        40,
        "locality-distribute",
        f"{LOCALITY}/distribute/1/from",
        locality("{distribute: [{from: a, to: {b: 100}}, {from: a/b, to: {b: 100}}]}"),
        locality("{distribute: [{from: a/b, to: {b: 100}}, {from: a/*, to: {b: 100}}]}"),
    ),
    Row(
        41,
        "locality-distribute",
        f"{LOCALITY}/distribute/0/to/b~1",
        locality("{distribute: [{from: a, to: {b/: 100}}]}"),
        locality("{distribute: [{from: a, to: {b/c/d: 100}}]}"),
    ),
    Row(
        42,
        "locality-failover-inert",
        f"{LOCALITY}/failover",
        locality("{failover: [{from: a, to: b}]}", outlier=False),
        locality("{failover: [{from: a, to: b}]}"),
        "warning",
    ),
    Row(
        43,
        "locality-distribute",
        f"{LOCALITY}/failover/0/to",
        locality("{failover: [{from: a, to: a}]}"),
        locality("{failover: [{from: a, to: b}]}"),
    ),
    Row(
        44,
        "dr-locality-failover",
        f"{LOCALITY}/failover/0/from",
        locality("{failover: [{from: a/b, to: c}]}"),
        locality("{failover: [{from: a, to: c}]}"),
    ),
    Row(
        45,
        "dr-locality-failover",
        f"{LOCALITY}/failover/0/to",
        locality("{failover: [{from: a, to: c*}]}"),
        locality("{failover: [{from: a, to: c}]}"),
    ),
    Row(
        46,
        "dr-locality-failover",
        f"{ZONE}/failoverPriority/0",
        zone("{failoverPriority: [topology.istio.io/subzone]}"),
        zone("{failoverPriority: [topology.istio.io/network]}"),
    ),
    Row(
        47,
        "locality-failover-inert",
        f"{ZONE}/failoverPriority",
        zone("{failoverPriority: [app]}", outlier=False),
        zone("{failoverPriority: [app]}"),
        "warning",
    ),
    Row(
        48,
        "locality-distribute",
        f"{ZONE}/failover/0/to",
        zone("{failover: [{from: a, to: a}]}"),
        zone("{failover: [{from: a, to: b}]}"),
    ),
    Row(
        49,
        "dr-locality-failover",
        f"{ZONE}/failover/0/to",
        zone("{failover: [{from: a, to: b/c}]}"),
        zone("{failover: [{from: a, to: b}]}"),
    ),
    Row(
        50,
        "dr-locality-failover",
        f"{ZONE}/failover/0/from",
        zone("{failover: [{from: '*', to: b}]}"),
        zone("{failover: [{from: a, to: b}]}"),
    ),
    duration(51, "loadBalancer/warmup/duration"),
    Row(
        52,
        "invalid-value",
        f"{LB}/warmup/minimumPercent",
        balancer("{warmup: {duration: 1s, minimumPercent: 101}}"),
        balancer("{warmup: {duration: 1s, minimumPercent: 100}}"),
    ),
    Row(
        53,
        "dr-warmup",
        f"{LB}/warmup/aggression",
        balancer("{warmup: {duration: 1s, aggression: 0}}"),
        balancer("{warmup: {duration: 1s, aggression: 0.5}}"),
    ),
    Row(
        54,
        "dr-tls-fields",
        f"{TLS}/credentialName",
        tls("{mode: SIMPLE, credentialName: 'configmap://shop'}"),
        tls("{mode: SIMPLE, credentialName: 'configmap://shop/ca'}"),
    ),
    Row(
        55,
        "dr-tls-fields",
        f"{TLS}/credentialName",
        tls("{mode: SIMPLE, credentialName: 'configmap://other/ca'}"),
        tls("{mode: SIMPLE, credentialName: 'other/ca'}"),
    ),
    Row(
        56,
        "dr-tls-fields",
        f"{TLS}/insecureSkipVerify",
        tls("{mode: SIMPLE, insecureSkipVerify: true, credentialName: c}"),
        tls("{mode: SIMPLE, insecureSkipVerify: false, credentialName: c}"),
    ),
    Row(
        57,
        "dr-tls-fields",
        f"{TLS}/insecureSkipVerify",
        tls(f"{{mode: MUTUAL, {CERTIFICATE}, insecureSkipVerify: true, subjectAltNames: [a]}}"),
        tls("{mode: MUTUAL, insecureSkipVerify: true, credentialName: c}"),
    ),
    Row(
        58,
        "dr-tls-fields",
        f"{TLS}/credentialName",
        tls("{mode: SIMPLE, credentialName: c, caCrl: /crl}"),
        tls("{mode: SIMPLE, caCertificates: /ca, caCrl: /crl}"),
    ),
    Row(
        59,
        "dr-tls-fields",
        TLS,
        tls("{mode: MUTUAL, privateKey: /k}"),
        tls(f"{{mode: MUTUAL, {CERTIFICATE}}}"),
    ),
    Row(
        60,
        "dr-tls-fields",
        f"{TLS}/privateKey",
        tls("{mode: MUTUAL, clientCertificate: /c, privateKey: ''}"),
        tls("{mode: MUTUAL, credentialName: c}"),
    ),
    Row(
        61,
        "wrong-type",
        f"{TP}/portLevelSettings/0",
        policy("{portLevelSettings: ['80']}"),
        policy("{portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]}"),
    ),
    Row(
        62,
        "dr-port-level",
        f"{TP}/portLevelSettings/0/tls",
        policy("{portLevelSettings: [{tls: {mode: DISABLE}}]}"),
        policy("{portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}}]}"),
    ),
    Row(
        63,
        "dr-empty-policy",
        f"{TP}/portLevelSettings/0/port",
        policy("{portLevelSettings: [{port: {number: 80}}]}"),
        policy("{portLevelSettings: [{port: {number: 80}, outlierDetection: {}}]}"),
    ),
    Row(
        64,
        "dr-tunnel",
        f"{TP}/tunnel/protocol",
        policy("{tunnel: {protocol: connect, targetHost: a, targetPort: 1}}"),
        policy("{tunnel: {protocol: POST, targetHost: a, targetPort: 1}}"),
    ),
    Row(
        65,
        "dr-tunnel",
        f"{TP}/tunnel/targetHost",
        policy("{tunnel: {targetHost: '*.a', targetPort: 1}}"),
        policy("{tunnel: {targetHost: '::1', targetPort: 1}}"),
    ),
    Row(
        66,
        "dr-tunnel",
        f"{TP}/tunnel/targetPort",
        policy("{tunnel: {targetHost: a, targetPort: 0}}"),
        policy("{tunnel: {targetHost: a, targetPort: 65535}}"),
    ),
    Row(
        67,
        "enum-value",
        f"{TP}/proxyProtocol/version",
        policy("{proxyProtocol: {version: V3}}"),
        policy("{proxyProtocol: {version: V2}}"),
    ),
    Row(68, "wrong-type", "/spec/subsets/0", "host: a\nsubsets: [v1]", subset("name: v1")),
    Row(
        69,
        "dr-subsets",
        "/spec/subsets/1/name",
        subset("name: a", "name: a"),
        subset("name: a", "name: b"),
    ),
    Row(70, "dr-subsets", "/spec/subsets/0/name", subset("name: a.b"), subset("name: A-b")),
    Row(
        71,
        "dr-subsets",
        "/spec/subsets/0/labels/-a",
        subset("name: a, labels: {-a: b}"),
        subset("name: a, labels: {a.example.com/b_c: ''}"),
    ),
    Row(72, "dr-export-to", "/spec/exportTo/1", exported("[a, a]"), exported("[a, b]")),
    Row(73, "dr-export-to", "/spec/exportTo/1", exported("['.', shop]"), exported("['.', other]")),
    Row(74, "dr-export-to", "/spec/exportTo/0", exported("[a.b]"), exported("['*']")),
    Row(75, "dr-export-to", "/spec/exportTo/0", exported("['*', a]"), exported("[a]")),
    Row(76, "dr-export-to", "/spec/exportTo/0", exported("['~']"), exported("['.']")),
    Row(77, "dr-export-to", "/spec/exportTo/1", exported("['.', a]", SELECTED), exported("['.', a]")),
    Row(78, "dr-export-to", "/spec/exportTo/0", exported("[a]", SELECTED), exported("[shop]", SELECTED)),
    Row(
        79,
        "invalid-value",
        "/spec/workloadSelector/matchLabels/",
        "host: a\nworkloadSelector: {matchLabels: {'': a}}",
        f"host: a{SELECTED}",
    ),
    Row(
        80,
        "invalid-value",
        "/spec/workloadSelector/matchLabels/a",
        "host: a\nworkloadSelector: {matchLabels: {a: 'b*'}}",
        f"host: a{SELECTED}",
    ),
    Row(
        81,
        "selector-empty",
        "/spec/workloadSelector",
        "host: a\nworkloadSelector: {}",
        f"host: a{SELECTED}",
        "warning",
    ),
]
NOT_DONE: dict[int, str] = {}


@pytest.mark.parametrize("row", params(KIND, ROWS))
def test_row(row: Row) -> None:
    check_row(KIND, row.rule, row.bad, row.good, row.pointer, row.severity)


def test_every_row_is_accounted_for() -> None:
    assert uncovered(COUNT, ROWS, NOT_DONE) == set()


NESTED = """
host: a
trafficPolicy:
  portLevelSettings: [{port: {number: 80}, %s}]
subsets:
  - name: v1
    trafficPolicy:
      portLevelSettings: [{port: {number: 81}, %s}]
      %s
"""


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("outlier-local-origin", "outlierDetection: {consecutiveLocalOriginFailures: 1}"),
        ("outlier-deprecated", "outlierDetection: {consecutiveErrors: 1}"),
        ("dr-pool", "connectionPool: {tcp: {maxConnections: -1}}"),
        ("pool-zero", "connectionPool: {tcp: {maxConnections: 0}}"),
        ("lb-maglev", "loadBalancer: {consistentHash: {maglev: {tableSize: 4}}}"),
        ("dr-tls-fields", "tls: {mode: MUTUAL}"),
        ("locality-distribute", "loadBalancer: {localityLbSetting: {failover: [{from: a, to: a}]}}"),
    ],
)
def test_all_homes_of_a_policy(rule: str, text: str) -> None:
    found = findings(KIND, rule, NESTED % (text, text, text))
    homes = ("of subset v1", "for port 80", "for port 81 of subset v1")
    assert len(found) == 3
    if rule != "locality-distribute":
        assert {home for home in homes if any(home in f.message for f in found)} == set(homes)


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        ("dr-host", "host: ${HOST}"),
        ("dr-host", "host: null"),
        ("dr-host", "host: DEX_SERVICE.DEX_NAMESPACE"),
        ("dr-empty-policy", policy("null")),
        ("dr-empty-policy", policy("{tls: null}")),
        ("dr-tls-fields", tls("{mode: '${MODE}', credentialName: c, caCrl: /c}")),
        ("dr-tls-fields", tls("{mode: MUTUAL, credentialName: null}")),
        ("dr-tls-fields", tls("{mode: MUTUAL, clientCertificate: '${C}', privateKey: null}")),
        ("dr-subsets", subset("name: '${V}'", "name: '${V}'")),
        ("dr-subsets", subset("name: a, labels: {a: '${V}', '${K}': b, c: null}")),
        ("dr-export-to", exported("['${NS}', null]")),
        ("locality-distribute", locality("{distribute: [{from: a, to: {b: '${W}', c: 10}}]}")),
        (
            "outlier-local-origin",
            outlier("{consecutiveLocalOriginFailures: 1, splitExternalLocalOriginErrors: null}"),
        ),
        ("lb-maglev", hashing("{maglev: {tableSize: '${SIZE}'}}")),
        ("dr-tunnel", policy("{tunnel: {protocol: '${P}', targetHost: '${H}', targetPort: '${N}'}}")),
        ("dr-pool", pool("{http: {http2KeepAlive: {interval: null, timeout: '${T}'}}}")),
        ("pool-zero", pool("{http: {maxRequestsPerConnection: 0}}")),
    ],
)
def test_what_a_template_fills_is_not_judged(rule: str, text: str) -> None:
    assert findings(KIND, rule, text) == []


def test_the_own_namespace_is_compared_only_where_it_is_written() -> None:
    head = (
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a}\nspec:\n  host: a\n"
    )
    assert findings(KIND, "dr-export-to", f"{head}  exportTo: ['.', default]\n") == []
    config_map = "  trafficPolicy: {tls: {mode: SIMPLE, credentialName: 'configmap://other/ca'}}\n"
    assert findings(KIND, "dr-tls-fields", head + config_map) == []


def test_certificates_beside_the_mesh_s_own_are_a_warning_of_ours() -> None:
    (found,) = findings(KIND, "dr-tls-fields", tls("{mode: ISTIO_MUTUAL, credentialName: c}"))
    assert (found.severity, found.equivalents) == ("warning", ())


def test_failover_with_outlier_detection_of_the_mesh() -> None:
    settings = Settings(mesh_config={"defaultTrafficPolicy": {"outlierDetection": {"interval": "5s"}}})
    text = locality("{failover: [{from: a, to: b}]}", outlier=False)
    assert findings(KIND, "locality-failover-inert", text, settings) == []


@pytest.mark.parametrize(
    ("earlier", "later", "overlap"),
    [
        ("a", "a/b", True),
        ("a/*", "a/b", True),
        ("*", "a", True),
        ("a/b", "a", True),
        ("a/b/c", "a/b", True),
        ("a", "ab", False),
        ("a/b", "a/c", False),
        ("a/b/*", "a/b/c", True),
        ("a/b/c", "a/b/*", False),
    ],
)
def test_overlap_of_sources(earlier: str, later: str, overlap: bool) -> None:
    text = locality(
        f"{{distribute: [{{from: '{earlier}', to: {{b: 100}}}}, {{from: '{later}', to: {{b: 100}}}}]}}"
    )
    assert bool(findings(KIND, "locality-distribute", text)) is overlap
