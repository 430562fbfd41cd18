"""Host resolution and algebra: the tables of spec traffic 1.1 and 1.3."""

from __future__ import annotations

import pytest

from meshlint.mesh.hosts import (
    HostIndex,
    covers,
    intersect,
    is_dns_name,
    is_ip,
    is_wildcard_domain,
    overlap,
    resolve,
    specificity,
)

TARGET = "reviews.prod.svc.cluster.local"


@pytest.mark.parametrize(
    ("written", "resolved", "names_reviews_of_prod"),
    [
        ("reviews", "reviews.shop.svc.cluster.local", False),
        ("reviews.prod", "reviews.prod", False),
        ("reviews.prod.svc", "reviews.prod.svc", False),
        ("reviews.prod.svc.cluster.local", "reviews.prod.svc.cluster.local", True),
        ("reviews.prod.svc.cluster.local.", "reviews.prod.svc.cluster.local.", False),
        ("Reviews.prod.svc.cluster.local", "Reviews.prod.svc.cluster.local", False),
        ("*", "*", False),
        ("*.prod.svc.cluster.local", "*.prod.svc.cluster.local", False),
        ("10.0.0.7", "10.0.0.7", False),
    ],
)
def test_1_1_resolution(written: str, resolved: str, names_reviews_of_prod: bool) -> None:
    assert resolve(written, "shop") == resolved
    assert (resolve(written, "shop") == TARGET) is names_reviews_of_prod


def test_1_1_a_short_name_in_its_own_namespace() -> None:
    assert resolve("reviews", "prod") == TARGET


def test_1_1_the_wildcard_covers_the_service() -> None:
    assert covers("*.prod.svc.cluster.local", TARGET)


@pytest.mark.parametrize("refused", ["http://reviews", "reviews:9080", "", "a..b", "-a.b", "10.0.0.7"])
def test_1_1_not_a_dns_name(refused: str) -> None:
    assert not is_dns_name(refused)


@pytest.mark.parametrize("accepted", ["reviews", "Reviews.prod.svc.cluster.local", "a.b.", "a1.b-2.c"])
def test_0_6_dns_names(accepted: str) -> None:
    assert is_dns_name(accepted)


@pytest.mark.parametrize(
    ("host", "legal"),
    [
        ("*", True),
        ("*.example.com", True),
        ("*example.com", True),
        ("*-example.com", True),
        ("a.*.com", False),
        ("a*.com", False),
        ("*.", False),
        ("**.com", False),
        ("a.example.com", True),
    ],
)
def test_0_6_wildcard_domains(host: str, legal: bool) -> None:
    assert is_wildcard_domain(host) is legal


def test_custom_domain_suffix() -> None:
    assert resolve("reviews", "prod", "corp.internal") == "reviews.prod.svc.corp.internal"


def test_ip_literals() -> None:
    assert is_ip("10.0.0.7")
    assert is_ip("fd00::1")
    assert not is_ip("10.example.com")
    assert not is_ip("reviews")


@pytest.mark.parametrize(
    ("a", "b", "overlaps", "covered", "common"),
    [
        ("*.example.com", "a.example.com", True, True, ["a.example.com"]),
        ("*.example.com", "example.com", False, False, []),
        ("*.example.com", "newexample.com", False, False, []),
        ("*example.com", "newexample.com", True, True, ["newexample.com"]),
        ("*.com", "*.example.com", True, True, ["*.example.com"]),
        ("*", "a.b", True, True, ["a.b"]),
        ("*", "*.b", True, True, ["*.b"]),
        ("a.b", "a.b", True, True, ["a.b"]),
    ],
)
def test_1_3_algebra(a: str, b: str, overlaps: bool, covered: bool, common: list[str]) -> None:
    assert overlap(a, b) is overlaps
    assert overlap(b, a) is overlaps
    assert covers(a, b) is covered
    assert intersect([a], [b]) == common
    assert intersect([b], [a]) == common


def test_1_3_an_exact_host_covers_no_wildcard() -> None:
    assert not covers("a.example.com", "*.example.com")


def test_1_3_order_of_specificity() -> None:
    hosts = ["*", "*.com", "b.com", "*.example.com", "a.example.com", "a.com"]
    assert sorted(hosts, key=specificity) == [
        "a.example.com",
        "a.com",
        "b.com",
        "*.example.com",
        "*.com",
        "*",
    ]


def index_of(*hosts: str) -> HostIndex[str]:
    index: HostIndex[str] = HostIndex()
    for host in hosts:
        index.add(host, host)
    return index


def test_index_best_is_exact_then_the_longest_wildcard() -> None:
    index = index_of("*", "*.com", "*.example.com", "a.example.com")
    assert index.best("a.example.com") == ["a.example.com"]
    assert index.best("b.example.com") == ["*.example.com"]
    assert index.best("b.org") == ["*"]
    assert index_of("*.com").best("b.org") == []


def test_index_covering_goes_from_narrow_to_wide() -> None:
    index = index_of("*", "*.com", "a.com", "b.com")
    assert index.covering("a.com") == ["a.com", "*.com", "*"]
    assert index.covering("*.com") == ["*.com", "*"]


@pytest.mark.parametrize(
    ("host", "found"),
    [
        ("*", ["a.example.com", "b.example.com", "c.org", "newexample.com"]),
        ("*.example.com", ["a.example.com", "b.example.com"]),
        ("*example.com", ["a.example.com", "b.example.com", "newexample.com"]),
        ("*m", ["a.example.com", "b.example.com", "newexample.com"]),
        ("c.org", ["c.org"]),
        ("*.net", []),
    ],
)
def test_index_within(host: str, found: list[str]) -> None:
    assert sorted(index_of("a.example.com", "b.example.com", "newexample.com", "c.org").within(host)) == found
