"""`meshlint test` with route tests: whole outputs, exit codes, and what is said about broken files."""

# ruff: noqa: E501 - lines of output are as long as they are

from __future__ import annotations

import json
from textwrap import dedent
from xml.etree import ElementTree

import jsonschema
import pytest
import yaml

from meshlint.meshtest.files import load_suite, schema
from tests.cli.support import REPOSITORY, write

MESH = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec:
  selector: {app: web}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: app, image: app, ports: [{containerPort: 8080}]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: client, namespace: shop}
spec:
  template:
    metadata: {labels: {app: client}}
    spec:
      containers: [{name: app, image: app}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: web, namespace: shop}
spec:
  hosts: [web]
  http:
    - name: canary
      match:
        - headers: {x-canary: {exact: "yes"}}
      timeout: 2s
      fault:
        delay: {fixedDelay: 1s, percentage: {value: 50}}
      route:
        - destination: {host: web, subset: v1}
          weight: 90
        - destination: {host: web, subset: v2}
          weight: 10
    - name: old
      match:
        - uri: {prefix: /old/}
      redirect: {uri: /new, redirectCode: 308}
    - name: closed
      match:
        - uri: {exact: /closed}
      directResponse: {status: 410, body: {string: gone}}
    - name: look-around
      match:
        - uri: {regex: "/(?=x).*"}
          method: {exact: PUT}
      route:
        - destination: {host: web}
    - name: api
      match:
        - uri: {prefix: /api/}
      rewrite: {uri: /}
      retries: {attempts: 3, perTryTimeout: 1s, retryOn: "connect-failure,5xx"}
      route:
        - destination: {host: web}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  rules:
    - to:
        - operation: {methods: [GET], paths: [/status]}
"""


def suite(*tests: str, head: str = "") -> str:
    return head + "tests:\n" + "".join(tests)


def case(expect: str, request: str = "path: /api/status", name: str = "a test") -> str:
    return f"  - name: {name}\n    request: {{host: web, source: shop/client, {request}}}\n    expect: {{{expect}}}\n"


@pytest.fixture
def run(call, folder):
    """Run one file of tests over the mesh."""

    def run(text: str, *options: str):
        write(folder, mesh=MESH)
        (folder / "web.meshtest.yaml").write_text(text)
        return call("test", "web.meshtest.yaml", *options)

    return run


PASSING = [
    ("rule: api, destination: web, timeout: none, rewrite: {path: /status}", "path: /api/status"),
    ("destination: 'web:80', fault: none, redirect: none, directResponse: none", "path: /api/"),
    ("destination: web.shop", "path: /api/"),
    ("destination: {host: web.shop.svc.cluster.local, port: 80}", "path: /api/"),
    ("retries: 3", "path: /api/"),
    ("retries: {attempts: 3, perTryTimeout: 1000ms, retryOn: '5xx, connect-failure'}", "path: /api/"),
    ("access: allowed", "path: /api/status"),
    ("access: denied", "path: /api/status, method: POST"),
    ("rule: canary, timeout: 2s", "headers: {X-Canary: 'yes'}"),
    ("destination: web", "headers: {x-canary: 'yes'}"),
    ("destination: {host: web, subset: v2, weight: 10}", "headers: {x-canary: 'yes'}"),
    (
        "destinations: [{host: web, subset: v2, weight: 10}, {host: web, subset: v1, weight: 90}]",
        "headers: {x-canary: 'yes'}",
    ),
    ("fault: {delay: 1s, delayPercent: 50}", "headers: {x-canary: 'yes'}"),
    ("redirect: {code: 308, path: /new}, retries: none", "path: /old/x"),
    ("directResponse: {status: 410, body: gone}", "path: /closed"),
    ("notFound: true", "path: /elsewhere"),
    ("notFound: false", "path: /closed"),
    ("destination: unknown, rule: unknown, timeout: unknown, access: unknown", "path: /x, method: PUT"),
]


@pytest.mark.parametrize(("expect", "request_"), PASSING)
def test_what_passes(run, expect, request_):
    done = run(suite(case(expect, request_)))
    assert (done.code, done.out, done.err) == (0, "1 route test passes, 1 file\n", "")


FAILING = [
    ("rule: web", "path: /api/"),
    ("destination: other", "path: /api/"),
    ("destination: {host: web, subset: v1}", "headers: {x-canary: 'yes'}"),
    ("destination: {host: web, subset: v2, weight: 20}", "headers: {x-canary: 'yes'}"),
    ("destinations: [{host: web, subset: v1, weight: 90}]", "headers: {x-canary: 'yes'}"),
    ("timeout: 3s", "headers: {x-canary: 'yes'}"),
    ("timeout: none", "headers: {x-canary: 'yes'}"),
    ("retries: none", "path: /api/"),
    ("retries: {attempts: 3, retryOn: 5xx}", "path: /api/"),
    ("rewrite: none", "path: /api/"),
    ("redirect: none", "path: /old/"),
    ("redirect: {code: 301}", "path: /old/"),
    ("directResponse: {status: 200}", "path: /closed"),
    ("fault: none", "headers: {x-canary: 'yes'}"),
    ("fault: {delay: 1s, abort: 500}", "headers: {x-canary: 'yes'}"),
    ("access: allowed", "path: /api/orders"),
    ("access: unknown", "path: /api/orders"),
    ("notFound: true", "path: /api/"),
    ("timeout: 2s", "path: /x, method: PUT"),
    ("destination: web", "path: /elsewhere"),
]


@pytest.mark.parametrize(("expect", "request_"), FAILING)
def test_what_fails(run, expect, request_):
    done = run(suite(case(expect, request_)))
    assert (done.code, done.err) == (1, "")
    assert done.out.endswith("\n1 of 1 route test fails, 1 file\n")


def test_the_whole_output_of_failures(run):
    done = run(
        suite(
            case("rule: canary, destination: {host: web, subset: v2, weight: 20}, timeout: 3s", "headers: {x-canary: 'yes'}", "a fifth to the canary"),
            case("access: allowed, rewrite: {path: /status}", "path: /api/status, method: POST", "everybody may write"),
            case("timeout: 2s", "path: /x, method: PUT", "what nobody can tell"),
        )
    )  # fmt: skip
    assert (done.code, done.err) == (1, "")
    assert done.out == dedent(
        """\
        FAIL a fifth to the canary
          --> web.meshtest.yaml:2
          request  GET web/, x-canary: yes, from shop/client
          rule     VirtualService shop/web, rule canary  (mesh.yaml:38)
            rule: canary  (mesh.yaml:38)
          - destination: host web, subset v2, weight 20  (web.meshtest.yaml:4)
          + destination: host web.shop.svc.cluster.local, port 80, subset v1, weight 90; host web.shop.svc.cluster.local, port 80, subset v2, weight 10  (mesh.yaml:43, mesh.yaml:45)
          - timeout: 3s  (web.meshtest.yaml:4)
          + timeout: 2s  (mesh.yaml:39)

        FAIL everybody may write
          --> web.meshtest.yaml:5
          request  POST web/api/status, from shop/client
          rule     VirtualService shop/web, rule api  (mesh.yaml:63)
          - access: allowed  (web.meshtest.yaml:7)
          + access: denied (no rule of AuthorizationPolicy shop/web matches)  (mesh.yaml:74)
            rewrite: path /status, host web  (mesh.yaml:64)

        FAIL what nobody can tell
          --> web.meshtest.yaml:8
          request  PUT web/x, from shop/client
          rule     unknown: whether rule look-around of VirtualService shop/web takes it cannot be told: its regular expression is not read
          - timeout: 2s  (web.meshtest.yaml:10)
          + timeout: unknown: whether rule look-around of VirtualService shop/web takes it cannot be told: its regular expression is not read  (mesh.yaml:57)

        3 of 3 route tests fail, 1 file
        """
    )


def test_verbose(run):
    done = run(suite(case("rule: api")), "--verbose")
    assert done.out == dedent(
        """\
        pass a test
          --> web.meshtest.yaml:2
          request  GET web/api/status, from shop/client
          rule     VirtualService shop/web, rule api  (mesh.yaml:63)
            rule: api  (mesh.yaml:63)

        1 route test passes, 1 file
        """
    )


BROKEN = [
    (
        suite(case("destnation: web")),
        "web.meshtest.yaml:4:14: tests[0].expect: unknown key 'destnation'; did you mean 'destination'?",
    ),
    (
        suite(case("rule: api", "pth: /")),
        "web.meshtest.yaml:3:47: tests[0].request: unknown key 'pth'; did you mean 'path'?",
    ),
    (
        suite("  - name: a\n    request: {host: web}\n    expect: {rule: api}\n"),
        "web.meshtest.yaml:3:14: tests[0].request: found neither 'gateway' nor 'source', expected one of them: "
        "where the request comes from",
    ),
    (
        suite(case("rule: api", "gateway: a/b")),
        "web.meshtest.yaml:3:14: tests[0].request: found both 'gateway' and 'source', expected one of them: "
        "where the request comes from",
    ),
    (
        suite(case("rule: api", "port: 0")),
        "web.meshtest.yaml:3:53: tests[0].request.port: found 0, expected at least 1",
    ),
    (
        suite(case("timeout: 10")),
        "web.meshtest.yaml:4:23: tests[0].expect.timeout: found 10, expected a length of time such as 10s, or none",
    ),
    (
        suite(case("timeout: ten")),
        "web.meshtest.yaml:4:23: tests[0].expect.timeout: found 'ten', expected a length of time such as 10s",
    ),
    (
        suite(case("access: alowed")),
        "web.meshtest.yaml:4:22: tests[0].expect.access: found the string 'alowed', expected one of allowed, "
        "denied, external, unknown; did you mean 'allowed'?",
    ),
    (suite(case("")), "web.meshtest.yaml:4:13: tests[0].expect: found nothing that is expected"),
    (
        suite(case("destination: a, destinations: [{host: a}]")),
        "web.meshtest.yaml:4:13: tests[0].expect: found both 'destination' and 'destinations', expected one of them",
    ),
    (
        suite(case("rule: api").replace("shop/client", "shop/clent")),
        "web.meshtest.yaml:3:34: source: no workload 'shop/clent' is in the manifests; did you mean 'shop/client'?",
    ),
    ("test: []\n", "web.meshtest.yaml:1:1: 'tests' is missing\nmeshlint: error: web.meshtest.yaml:1:1: unknown key 'test'; did you mean 'tests'?"),
    ("tests: [\n", "web.meshtest.yaml:2:1: "),
    ("", "web.meshtest.yaml: found no test; the key 'tests' has a list of them"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), BROKEN)
def test_broken_files(run, text, message):
    done = run(text)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"meshlint: error: {message}")


def test_manifests_elsewhere(call, folder):
    write(folder, deploy__mesh=MESH)
    (folder / "tests").mkdir()
    (folder / "tests" / "web.meshtest.yaml").write_text(
        suite(case("rule: api"), head="manifests: [../deploy]\n")
    )
    assert call("test", "tests").out == "1 route test passes, 1 file\n"
    (folder / "tests" / "web.meshtest.yaml").write_text(suite(case("rule: api"), head="manifests: [../no]\n"))
    done = call("test", "tests")
    assert (done.code, done.err) == (
        2, "meshlint: error: tests/web.meshtest.yaml:1:12: manifests: no: no such file or folder\n"
    )  # fmt: skip

    (folder / "tests" / "web.meshtest.yaml").write_text(suite(case("rule: api")))
    done = call("test", "tests")
    assert (done.code, done.err) == (
        2, "meshlint: error: tests/web.meshtest.yaml: no manifest found in tests\n"
    )  # fmt: skip


EMPTY = "meshlint: error: no rule file and no route test is in .; --allow-empty makes that fine\n"


def test_a_folder_without_tests(call, folder):
    write(folder, mesh=MESH)
    done = call("test", ".")
    assert (done.code, done.err) == (2, EMPTY)


def test_without_a_path_the_tests_of_the_folder_run(call, folder):
    write(folder, mesh=MESH)
    done = call("test")
    assert (done.code, done.out) == (2, "")
    assert done.err == (
        "meshlint: error: no route test (*.meshtest.yaml) is in the current folder; --allow-empty makes that fine, "
        "and --rules runs the examples of the built-in rules\n"
    )
    assert call("test", "--allow-empty").code == 0
    assert call("test", ".", "--allow-empty").code == 0
    (folder / "deep").mkdir()
    (folder / "deep" / "web.meshtest.yaml").write_text(suite(case("rule: api"), head="manifests: [..]\n"))
    done = call("test")
    assert (done.code, done.out) == (0, "1 route test passes, 1 file\n")
    (folder / ".meshlint.yaml").write_text("exclude: [deep]\n")
    assert call("test").code == 2


def test_the_examples_of_the_built_in_rules(call, folder, monkeypatch):
    from meshlint.cli import test as module

    few = dict([*module.load_rules().items()][:2])
    monkeypatch.setattr(module, "load_rules", lambda: few)
    done = call("test", "--rules")
    assert done.code == 0
    assert done.out.startswith("2 rules pass, ")


@pytest.mark.parametrize("command", [(), ("inspect",)])
def test_a_file_of_route_tests_is_not_linted(call, folder, command):
    write(folder, mesh=MESH)
    (folder / "web.meshtest.yaml").write_text(suite(case("rule: api")))
    done = call(*command, "web.meshtest.yaml")
    assert (done.code, done.err.splitlines()[0]) == (
        2,
        "meshlint: error: no manifest found in web.meshtest.yaml; route tests are run by "
        "`meshlint test web.meshtest.yaml`",
    )


def test_the_configuration_beside_the_tests_counts(call, folder):
    no_policy = MESH[: MESH.rindex("---")]
    write(folder, mesh=no_policy)
    (folder / "web.meshtest.yaml").write_text(suite(case("access: unknown")))
    assert call("test", "web.meshtest.yaml").code == 0
    (folder / ".meshlint.yaml").write_text("complete: true\n")
    assert call("test", "web.meshtest.yaml").code == 1
    (folder / "web.meshtest.yaml").write_text(suite(case("access: allowed")))
    assert call("test", "web.meshtest.yaml").code == 0


def test_a_pod_by_its_labels(run):
    text = (
        "  - name: a\n    request: {host: web.shop, path: /api/status, source: {namespace: other, labels: {a: b}}}\n"
        "    expect: {rule: api, access: allowed}\n"
        "  - name: without a proxy\n"
        "    request: {host: web.shop, path: /api/status, source: {namespace: other, mesh: false}}\n"
        "    expect: {destination: web, retries: none, timeout: none}\n"
    )
    done = run(suite(text))
    assert (done.code, done.out) == (0, "2 route tests pass, 1 file\n")


def test_route_tests_do_not_get_in_the_way_of_linting(call, folder):
    write(folder, mesh=MESH)
    (folder / "web.meshtest.yaml").write_text(suite(case("rule: api")))
    done = call("--no-cache", "--output", "concise")
    assert "meshtest" not in done.out + done.err


EXAMPLE = REPOSITORY / "examples" / "shop.meshtest.yaml"


def test_the_schema_agrees_about_the_example():
    jsonschema.Draft202012Validator.check_schema(schema())
    jsonschema.validate(yaml.safe_load(EXAMPLE.read_text()), schema())
    assert load_suite(EXAMPLE).cases


@pytest.mark.parametrize(("expect", "request_"), [*PASSING, *FAILING])
def test_the_schema_agrees_about_the_tests(expect, request_):
    jsonschema.validate(yaml.safe_load(suite(case(expect, request_))), schema())


# -- what cannot be run keeps nothing else from it ----------------------------------------------------------


def test_one_broken_file_among_others(call, folder):
    write(folder, mesh=MESH)
    (folder / "a.meshtest.yaml").write_text("tests: [\n")
    (folder / "b.meshtest.yaml").write_text(suite(case("rule: api")))
    done = call("test", ".")
    assert (done.code, done.out) == (2, "1 route test passes, 2 files\n")
    assert done.err.startswith("meshlint: error: a.meshtest.yaml:2:1: ")


def test_one_test_without_its_workload(run):
    done = run(suite(case("rule: api").replace("shop/client", "shop/clent"), case("rule: api")))
    assert (done.code, done.out) == (2, "1 route test passes, 1 file\n")
    assert "did you mean 'shop/client'?" in done.err


SHAPES = [
    ("rule: api, rule: old", "path: /", "4:25: found the key 'rule' twice"),
    ("rule: api", "path: x", "3:53: tests[0].request.path: found the string 'x', expected a path that begins with /"),
    ("retries: two", "path: /", "4:23: tests[0].expect.retries: found the string 'two', expected a whole number or none or a mapping with 'attempts'"),
]  # fmt: skip


@pytest.mark.parametrize(("expect", "request_", "message"), SHAPES)
def test_what_was_expected_is_said(run, expect, request_, message):
    done = run(suite(case(expect, request_)))
    assert (done.code, done.out) == (2, "")
    assert done.err == f"meshlint: error: web.meshtest.yaml:{message}\n"


def test_a_source_without_namespace(run):
    done = run(suite(case("rule: api")).replace("shop/client", "client"))
    assert done.err == (
        "meshlint: error: web.meshtest.yaml:3:34: tests[0].request.source: found the string 'client', "
        "expected namespace/name of a workload or a mapping with 'namespace'\n"
    )


def test_files_of_other_tools_are_left_alone(call, folder):
    """Tests of Helm plugins have the key `tests` too, and issue forms have `summary`."""
    write(folder, mesh=MESH, chart__unit_test="suite: a\ntests:\n  - it: works\n", form="summary: a\n")
    done = call("test", ".")
    assert (done.code, done.err) == (2, EMPTY)


def test_what_is_excluded_and_links_that_lead_back(call, folder):
    write(folder, mesh=MESH, old__mesh=MESH)
    (folder / "old" / "old.meshtest.yaml").write_text("tests: [\n")
    (folder / "deep").mkdir()
    (folder / "deep" / "web.meshtest.yaml").write_text(
        suite(case("rule: api"), head="manifests: [../mesh.yaml]\n")
    )
    (folder / "deep" / "again").symlink_to(folder, target_is_directory=True)
    (folder / ".meshlint.yaml").write_text("exclude: [old/]\n")
    done = call("test", ".")
    assert (done.code, done.out, done.err) == (0, "1 route test passes, 1 file\n", "")


def test_a_template(run):
    done = run(suite(case("rule: api"), head="{{- if .Values.tests }}\n"))
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("meshlint: error: web.meshtest.yaml: found a template (")


def test_where_no_rule_is_none(run):
    done = run(suite(case("rule: api", "path: /elsewhere"), case("rule: none", "path: /elsewhere")))
    assert "  + rule: none  (mesh.yaml:32)\n" in done.out
    assert "1 of 2 route tests fails" in done.out


# -- for machines -------------------------------------------------------------------------------------------


@pytest.fixture
def mixed(run):
    """One test passes, one fails, one cannot be run."""

    def call(*options: str):
        return run(
            suite(
                case("rule: api"),
                case("timeout: 3s", name="'slow & <odd>'"),
                case("rule: api").replace("shop/client", "shop/clent"),
            ),
            *options,
        )

    return call


ERROR = "source: no workload 'shop/clent' is in the manifests; did you mean 'shop/client'?"


def test_json(mixed):
    done = mixed("--output", "json")
    document = json.loads(done.out)
    assert (done.code, document["schema_version"]) == (2, 1)
    assert document["summary"] == {"files": 1, "tests": 2, "failed": 1, "errors": 1}
    assert document["errors"] == [{"file": "web.meshtest.yaml", "line": 9, "column": 34, "message": ERROR}]
    assert [test["passed"] for test in document["tests"]] == [True, False]
    assert document["tests"][1] == {
        "name": "slow & <odd>", "file": "web.meshtest.yaml", "line": 5, "passed": False,
        "request": "GET web/api/status, from shop/client",
        "rule": {"text": "VirtualService shop/web, rule api", "at": {"file": "mesh.yaml", "line": 63}},
        "checks": [
            {
                "key": "timeout", "line": 7, "passed": False, "expected": "3s", "actual": "none",
                    "hint": None,
                "because": [{"file": "mesh.yaml", "line": 61}],
            }
        ],
    }  # fmt: skip


def test_junit(mixed):
    done = mixed("--format", "junit")
    root = ElementTree.fromstring(done.out)
    assert root.attrib == {"tests": "3", "failures": "1", "errors": "1"}
    (found,) = root
    assert found.attrib == {"name": "web.meshtest.yaml", "tests": "3", "failures": "1", "errors": "1"}
    assert [[child.tag for child in one] for one in found] == [[], ["failure"], ["error"]]
    assert found[1].attrib == {
        "name": "slow & <odd>", "classname": "web.meshtest.yaml", "file": "web.meshtest.yaml", "line": "5"
    }  # fmt: skip
    assert found[1][0].attrib == {"message": "timeout: expected 3s, found none"}
    assert found[1][0].text.startswith("FAIL slow & <odd>\n")
    assert found[2][0].attrib == {"message": f"web.meshtest.yaml:9:34: {ERROR}"}


def test_github(mixed):
    lines = mixed("--output", "github").out.splitlines()
    assert lines[0] == f"::error file=web.meshtest.yaml,line=9,title=meshlint::{ERROR}"
    assert lines[1].startswith(
        "::error file=web.meshtest.yaml,line=7,title=meshlint%3A slow & <odd>::FAIL slow & <odd>%0A"
    )


def test_several_reports_at_once(mixed, folder):
    done = mixed("--output", "text", "--output", "junit=report.xml")
    assert done.out.endswith("1 of 2 route tests fails, 1 file\n")
    assert ElementTree.parse(folder / "report.xml").getroot().get("failures") == "1"


def test_a_format_that_does_not_exist(mixed):
    done = mixed("--output", "sarif")
    assert (done.code, done.out) == (2, "")
    assert "there is no format 'sarif'" in done.err
    assert "text, json, junit, github" in done.err


# -- slips, and what may go to a terminal -------------------------------------------------------------------


def test_a_host_that_nothing_has(run):
    done = run(suite(case("rule: api").replace("host: web", "host: wbe")))
    assert (
        "rule     unknown: the host wbe.shop.svc.cluster.local is not in the input; did you mean 'web'?\n"
        in done.out
    )


def test_a_gateway_that_nothing_has(call, folder):
    gateway = (
        "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: public, namespace: shop}\n"
        "spec: {selector: {a: b}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}\n"
    )
    write(folder, gateway=gateway)
    text = "  - name: a\n    request: {host: a.test, gateway: shop/pubic}\n    expect: {notFound: true}\n"
    (folder / "web.meshtest.yaml").write_text(suite(text))
    done = call("test", ".")
    assert "unknown: the gateway shop/pubic is not in the input; did you mean 'shop/public'?\n" in done.out


def test_nothing_moves_the_cursor(run):
    done = run(suite(case(r'rule: "\e[31mred"', r'path: "/\e[2J"', r'"a\e[1m"')))
    assert done.code == 1
    assert "\x1b" not in done.out + done.err


def test_standard_input(call):
    done = call("test", "-", stdin="tests: []")
    assert (done.code, done.err) == (
        2, "meshlint: error: tests are not read from standard input; name their files or folders\n"
    )  # fmt: skip


AMBIENT = """\
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {istio.io/dataplane-mode: ambient, istio.io/use-waypoint: waypoint}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: waypoint, namespace: shop}
spec:
  gatewayClassName: istio-waypoint
  listeners: [{name: mesh, port: 15008, protocol: HBONE}]
---
apiVersion: v1
kind: Service
metadata: {name: web-canary, namespace: shop}
spec:
  selector: {app: web-canary}
  ports: [{name: http, port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web-canary, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web-canary}}
    spec:
      containers: [{name: app, image: app}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: web, namespace: shop}
spec:
  parentRefs: [{group: "", kind: Service, name: web}]
  rules:
    - matches: [{path: {value: /old}}]
      filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, replaceFullPath: /new}}}]
      backendRefs: [{name: web, port: 80}, {name: web-canary, port: 80}]
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: web, namespace: shop}
spec:
  targetRefs: [{group: "", kind: Service, name: web}]
  rules:
    - to: [{operation: {paths: [/old]}}]
"""


def test_one_waypoint_decides_for_all_destinations(call, folder):
    """That of the service which the caller names, before it rewrites the path."""
    parts = MESH.split("---\n")
    write(folder, mesh="---\n".join(parts[1:4]), ambient=AMBIENT)
    (folder / ".meshlint.yaml").write_text("complete: true\n")
    (folder / "web.meshtest.yaml").write_text(
        suite(
            case("access: allowed, rewrite: {path: /new}", "path: /old"),
            case("access: allowed", "path: /old").replace("host: web", "host: web-canary"),
            case("notFound: true", "path: /new"),
        )
    )
    done = call("test", ".")
    assert (done.code, done.out) == (0, "3 route tests pass, 1 file\n")
    policy = (folder / "ambient.yaml").read_text()
    (folder / "ambient.yaml").write_text(policy.replace("paths: [/old]", "paths: [/new]"))
    done = call("test", ".")
    assert "+ access: denied (no rule of AuthorizationPolicy shop/web matches)  (ambient.yaml:43)" in done.out


# -- claims -------------------------------------------------------------------------------------------------

CLAIMS = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: edge, namespace: shop}
spec:
  template:
    metadata: {labels: {app: edge}}
    spec:
      containers: [{name: app, image: app}]
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec:
  selector: {app: edge}
  servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ["*"]}]
---
apiVersion: security.istio.io/v1
kind: RequestAuthentication
metadata: {name: edge, namespace: shop}
spec:
  selector: {matchLabels: {app: edge}}
  jwtRules: [{issuer: https://login, jwksUri: https://login/keys}]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: edge, namespace: shop}
spec:
  hosts: [edge.test]
  gateways: [edge]
  http:
    - name: admins
      match: [{headers: {"@request.auth.claims.groups": {exact: admin}}}]
      route: [{destination: {host: web}}]
    - name: strangers
      match: [{withoutHeaders: {"@request.auth.claims.sub": {}}}]
      directResponse: {status: 401}
    - name: others
      directResponse: {status: 403}
---
apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: edge, namespace: shop}
spec:
  selector: {matchLabels: {app: edge}}
  action: DENY
  rules: [{when: [{key: "request.auth.claims[level]", notValues: [high]}]}]
"""


@pytest.mark.parametrize(
    ("token", "expect"),
    [
        pytest.param("", "rule: strangers, access: denied", id="no token has no claims"),
        pytest.param("claims: {groups: [admin, dev], level: high}", "rule: admins", id="one of a list"),
        pytest.param("claims: {groups: dev}, subject: a", "rule: others, access: denied", id="another"),
        pytest.param("claims: {level: high}, subject: a", "rule: others, access: allowed", id="a policy"),
        pytest.param("subject: a", "rule: unknown, access: unknown", id="claims that are not said"),
    ],
)
def test_claims(call, folder, token, expect):
    write(folder, mesh=MESH, edge=CLAIMS)
    token = f", token: {{issuer: https://login, {token}}}" if token else ""
    text = f"  - name: a\n    request: {{host: edge.test, gateway: shop/edge{token}}}\n    expect: {{{expect}}}\n"
    (folder / "web.meshtest.yaml").write_text(suite(text))
    (folder / ".meshlint.yaml").write_text("complete: true\n")
    assert call("test", ".").out == "1 route test passes, 1 file\n"


def test_claims_that_a_gateway_does_not_read(call, folder):
    parts = CLAIMS.split("---\n")
    write(folder, mesh=MESH, edge="---\n".join([*parts[:2], parts[3]]))
    (folder / "web.meshtest.yaml").write_text(
        suite(
            "  - name: a\n    request: {host: edge.test, gateway: shop/edge, token: {issuer: a, claims: {groups: admin}}}\n"
            "    expect: {rule: admins}\n"
        )
    )
    done = call("test", ".")
    assert (
        "  rule     unknown: whether rule admins of VirtualService shop/edge takes it cannot be told: "
        "it asks for claims of the token, which are not known\n"
    ) in done.out


def test_manifests_of_which_a_document_is_not_read(call, folder):
    write(folder, mesh=MESH, broken="apiVersion: v1\nkind: Service\nmetadata: {name: [\n")
    (folder / "web.meshtest.yaml").write_text(suite(case("rule: api")))
    done = call("test", ".")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(
        "meshlint: error: web.meshtest.yaml: manifests: broken.yaml:4:1: this document is not read: "
    )
    done = call("inspect", ".")
    assert done.code == 2
    assert "Deployment shop/web" in done.out
    assert done.err.startswith("meshlint: error: broken.yaml:4:1: this document is not read: ")
