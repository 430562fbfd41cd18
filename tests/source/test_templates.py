from __future__ import annotations

import pytest

from meshlint.source.parse import parse
from meshlint.source.templates import is_placeholder, noted

SERVICE = "apiVersion: v1\nkind: Service\nmetadata:\n  name: cart\n"


@pytest.mark.parametrize(
    "text",
    [
        "${CLUSTER}.example.com", "{{ .Values.host }}", "$(HOST)", "a-{{ x }}", "<% x %>", "[[ x ]]", "$HOST",
        "#{host}#", "<your-domain>", "@HOST@", "__HOST__.local", "PATCH_ME", "REPLACE_ME", "CHANGEME",
        "DEX_SERVICE.DEX_NAMESPACE.svc.cluster.local", "MY_PLACEHOLDER", "@@HOST@@", "{% x %}",
    ],
)  # fmt: skip
def test_placeholders(text: str) -> None:
    assert is_placeholder(text)


@pytest.mark.parametrize(
    "text",
    [
        None, "", "cart", "ISTIO_MUTUAL", "REGISTRY_ONLY", "%REQ(:AUTHORITY)%", "*.example.com", "a_b.c", "~",
        "./*", "x-b3-traceid", "5s", "SIMPLE", "OUTBOUND_ONLY", "^/api/[a-z]+$", "spiffe://cluster.local/ns/a",
        "https://example.com/a?b=c#d", "user@example.com",
    ],
)  # fmt: skip
def test_values_that_stand(text: str | None) -> None:
    assert not is_placeholder(text)


TEMPLATES = [
    ("helm value", SERVICE + "spec:\n  type: {{ .Values.type }}\n", "helm-template"),
    ("helm block", SERVICE + "{{- if .Values.x }}\nspec: {}\n{{- end }}\n", "helm-template"),
    ("helm in plain text", SERVICE + "spec:\n  externalName: a.{{ .Values.domain }}\n", "helm-template"),
    (
        "helm in the name",
        'apiVersion: v1\nkind: Service\nmetadata: {name: "{{ x }}-cart"}\n',
        "helm-template",
    ),
    ("whole values only", SERVICE + "spec: {{ spec }}\n", "helm-template"),
    ("jinja", SERVICE + "{% if x %}\nspec: {}\n{% endif %}\n", "jinja-template"),
    ("erb", SERVICE + "<% if x %>\nspec: {}\n", "erb-template"),
    ("ytt", SERVICE + "spec:\n  externalName: #@ data.values.host\n", "ytt-template"),
    ("ytt list", SERVICE + "spec:\n  hosts:\n  - #@ data.values.host\n", "ytt-template"),
]


@pytest.mark.parametrize(("text", "reason"), [c[1:] for c in TEMPLATES], ids=[c[0] for c in TEMPLATES])
def test_templates_are_skipped(text: str, reason: str) -> None:
    file = parse("a.yaml", text)
    assert file.skipped == reason
    assert file.documents == []
    assert file.problems == []
    if "cart\n" in text:
        assert ("Service", "cart") in file.may_exist


MANIFESTS = [
    ("quoted", SERVICE + 'spec:\n  a: "{{ $labels.pod }}"\n'),
    ("quoted go template", SERVICE + 'spec:\n  a: "{{ .Status }}"\n'),
    ("block scalar", SERVICE + "spec:\n  a: |\n    {{ range .Alerts }}\n    {% x %}\n"),
    ("alert text", SERVICE + "spec:\n  a: Pod {{ $labels.pod }} is down\n"),
    ("workflow", SERVICE + "spec:\n  a: step-{{workflow.uid}}\n"),
    ("comment", "# {{ .Values.x }}\n" + SERVICE),
    ("ytt comments alone", "#@ load('@ytt:data', 'data')\n#@ if data.values.x:\n" + SERVICE + "#@ end\n"),
    ("ytt in quoted text", SERVICE + "spec:\n  a: 'b c: #@ d'\n"),
    ("ytt after a value", SERVICE + "spec:\n  a: b #@ d\n"),
    ("flux", SERVICE + "spec:\n  host: ${HOST}\n"),
    ("flow mapping", SERVICE + "spec: {a: {b: {c: d}}}\n"),
]


@pytest.mark.parametrize("text", [c[1] for c in MANIFESTS], ids=[c[0] for c in MANIFESTS])
def test_manifests_with_braces_are_read(text: str) -> None:
    file = parse("a.yaml", text)
    assert file.skipped is None
    assert len(file.documents) == 1
    assert file.problems == []


def test_decided_per_document() -> None:
    text = f"{SERVICE}---\n{SERVICE.replace('cart', 'shop')}spec: {{{{ x }}}}\n  broken: [\n---\n{SERVICE}"
    file = parse("a.yaml", text)
    assert file.skipped == "helm-template"
    assert file.may_exist == {("Service", "shop")}
    assert len(file.documents) == 2
    assert [text[d.start :].lstrip("-\n")[:10] for d in file.documents] == ["apiVersion"] * 2


def test_broken_yaml_with_braces_in_comments_only_is_broken() -> None:
    file = parse("a.yaml", "# {{ x }}\n" + SERVICE + " spec: 1\n")
    assert file.skipped is None
    assert len(file.problems) == 1


def test_in_a_chart_every_marker_counts() -> None:
    text = "#{{- if .Values.x }}\n" + SERVICE + 'spec: {a: "{{ .Values.y }}"}\n'
    assert parse("a.yaml", text).skipped is None
    assert parse("a.yaml", text, chart=True).skipped == "helm-template"
    assert parse("a.yaml", SERVICE, chart=True).skipped is None


def test_names_in_templates() -> None:
    text = """
{{- range .Values.services }}
apiVersion: v1
kind: Service
metadata:
  name: cart
  labels: {app: cart}
spec:
  ports:
    - name: http
---
kind: Deployment
metadata:
  name: "{{ .name }}"
spec:
  template:
    spec:
      serviceAccountName: x
      containers:
        - name: 'main'
"""
    assert noted(text) == {("Service", "cart"), ("Service", "http"), ("Deployment", "main")}
