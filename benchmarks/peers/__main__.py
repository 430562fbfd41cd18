"""`python -m benchmarks.peers` compares findings with those of istioctl's analyzers, per code and object.

It builds `analyze.go` against the Istio module that `go.mod` pins (the first time some minutes, and 3 GB
below `--cache` and Go's own caches) and gives both programs the same files: those of the analyzers' unit
tests, case by case, or the folders that are named. Neither sees a cluster. meshlint is told that the files
are complete and runs in profile audit, since the analyzers take what is not there for missing.

    python -m benchmarks.peers                       # the unit tests of the analyzers
    python -m benchmarks.peers --code IST0101 --list # each difference
    python -m benchmarks.peers manifests/shop        # a folder of one's own, instead

Without Go, or where the module cannot be had, it says so and exits with 0. It is no part of the tests.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import yaml

from meshlint.config import config_from
from meshlint.lint import lint_loaded, rules_of
from meshlint.source.load import load_texts

HERE = Path(__file__).parent
MODULE = "istio.io/istio"
SUFFIXES = (".yaml", ".yml", ".json")
INGRESS = "ingress.yaml"
GRID = "pkg/config/analysis/analyzers"


class UnavailableError(Exception):
    """The peer cannot be built here; the message says why."""


@dataclass(frozen=True, slots=True)
class Case:
    """Files that are judged together."""

    name: str
    files: tuple[Path, ...]
    mesh_config: Path | None = None
    mesh_networks: Path | None = None


class Said(NamedTuple):
    """That a code was reported about an object, by either program."""

    code: str
    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        full = f"{self.namespace}/{self.name}" if self.namespace else self.name
        return f"{self.code} {self.kind} {full}"


@dataclass(slots=True)
class Comparison:
    """What both said, and what one of them said alone, with its words."""

    case: Case
    both: set[Said] = field(default_factory=set)
    missed: dict[Said, str] = field(default_factory=dict)
    ours: dict[Said, str] = field(default_factory=dict)


def main(arguments: list[str]) -> int:
    options = parser().parse_args(arguments)
    try:
        peer = build(options.cache)
        cases = [folder(path) for path in options.folders] or list(unit_tests(peer))
    except UnavailableError as problem:
        print(f"skipped: {problem}")
        return 0
    print(report(compare(peer, cases), options.code, options.list))
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("folders", nargs="*", type=Path, help="folders to compare on")
    parser.add_argument("--cache", type=Path, default=home / "meshlint-peers", help="where the peer is built")
    parser.add_argument("--code", action="append", default=[], help="only this code, such as IST0101")
    parser.add_argument("--list", action="store_true", help="list the differences, too")
    return parser


# -- the peer --------------------------------------------------------------------------------------


def build(cache: Path) -> Path:
    """The program, built below `cache` if it is not there or older than its source."""
    if shutil.which("go") is None:
        raise UnavailableError("there is no Go on this machine")
    cache.mkdir(parents=True, exist_ok=True)
    program = cache / "analyze"
    sources = [HERE / name for name in ("analyze.go", "go.mod")]
    if program.exists() and program.stat().st_mtime > max(path.stat().st_mtime for path in sources):
        return program
    for path in sources:
        shutil.copy(path, cache)
    go(cache, "mod", "tidy")
    go(cache, "build", "-o", program.name, ".")
    return program


def go(where: Path, *arguments: str) -> str:
    done = subprocess.run(["go", *arguments], cwd=where, capture_output=True, text=True, check=False)
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise UnavailableError(f"go {arguments[0]} failed: {last[0]}")
    return done.stdout.strip()


def answers(peer: Path, cases: Iterable[Case]) -> dict[str, list[tuple[Said, str]]]:
    """What the peer says about each case, by its name."""
    requests = [
        {
            "name": case.name,
            "files": [str(path) for path in case.files],
            "meshConfig": str(case.mesh_config or ""),
            "meshNetworks": str(case.mesh_networks or ""),
        }
        for case in cases
    ]
    done = subprocess.run(
        [peer], input="".join(json.dumps(one) + "\n" for one in requests),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True,
    )  # fmt: skip
    found = {}
    for line in done.stdout.splitlines():
        answer = json.loads(line)
        if answer.get("error"):
            print(f"{answer['name']}: {answer['error']}", file=sys.stderr)
        found[answer["name"]] = [(said(**one), where(one)) for one in answer["messages"]]
    return found


def said(code: str, kind: str, namespace: str | None, name: str, **_: object) -> Said:
    return Said(code, kind, namespace or "", name)


def where(message: dict[str, object]) -> str:
    return f"{Path(str(message['file'])).name}:{message['line']}: {message['text']}"


# -- the cases -------------------------------------------------------------------------------------


def folder(path: Path) -> Case:
    files = (file for file in sorted(path.rglob("*")) if file.suffix in SUFFIXES and file.is_file())
    return Case(str(path), tuple(files))


def unit_tests(peer: Path) -> Iterator[Case]:
    """The table of cases in the unit tests of the analyzers; which analyzer it is for does not matter."""
    root = Path(go(peer.parent, "list", "-m", "-f", "{{.Dir}}", MODULE)) / GRID
    table = (root / "analyzers_test.go").read_text("utf-8")
    table = table[table.index("var testGrid") :]
    seen = set()
    for block in re.split(r"\n\t\{\n", table[: table.index("\n}\n")])[1:]:
        files = re.search(r"inputFiles: *\[\]string\{(.*?)\}", block, re.DOTALL)
        if files is None:
            continue
        names = tuple(root / name for name in re.findall(r'"([^"]+)"', files[1]))
        config, networks = (
            root / found[1] if (found := re.search(rf'{key}:\s*"([^"]*)"', block)) else None
            for key in ("meshConfigFile", "meshNetworksFile")
        )
        name = "+".join(path.stem for path in (*names, config, networks) if path)
        if name not in seen:
            seen.add(name)
            yield Case(name, names, config, networks)


# -- the comparison --------------------------------------------------------------------------------


def compare(peer: Path, cases: list[Case]) -> list[Comparison]:
    theirs = answers(peer, cases)
    return [compared(case, theirs[case.name], list(ours(case))) for case in cases]


def compared(case: Case, theirs: list[tuple[Said, str]], mine: list[tuple[Said, str]]) -> Comparison:
    left, right = dict(theirs), dict(mine)
    return Comparison(
        case,
        left.keys() & right.keys(),
        {one: left[one] for one in left if one not in right},
        {one: right[one] for one in right if one not in left},
    )


def ingress() -> str:
    """The ingress gateway that the peer is given with each case."""
    found = re.search(r"const ingress = `(.*?)`", (HERE / "analyze.go").read_text("utf-8"), re.DOTALL)
    if found is None:
        raise UnavailableError("analyze.go has no ingress gateway")
    return found[1]


def ours(case: Case) -> Iterator[tuple[Said, str]]:
    """What meshlint says under codes of istioctl."""
    texts = {str(path): path.read_text("utf-8") for path in case.files} | {INGRESS: ingress()}
    if case.mesh_networks:
        networks = {"meshNetworks": case.mesh_networks.read_text("utf-8")}
        metadata = {"name": "istio", "namespace": "istio-system"}
        config_map = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": networks}
        texts["mesh-networks.yaml"] = yaml.safe_dump(config_map)
    settings: dict[str, object] = {"complete": True, "profile": "audit"}
    if case.mesh_config:
        settings["meshConfig"] = yaml.safe_load(case.mesh_config.read_text("utf-8"))
    config = config_from(settings)
    for finding in lint_loaded(load_texts(texts), config, rules_of(config)).report.active:
        about = finding.resource
        for code in finding.equivalents if finding.location.file != INGRESS else ():
            if about is not None and code.startswith("IST"):
                at = f"{Path(finding.location.file).name}:{finding.location.start_line}"
                text = f"{at}: {finding.message} [{finding.rule}, {finding.confidence}]"
                yield said(code, about.kind, about.namespace, about.name), text


# -- the report ------------------------------------------------------------------------------------


def report(comparisons: list[Comparison], codes: list[str], everything: bool) -> str:
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    lines = []
    for one in comparisons:
        counts_of = {"both": one.both, "missed": one.missed, "ours": one.ours}
        for column, group in counts_of.items():
            for item in group:
                counts[item.code][column] += 1
        for sign, group in (("-", one.missed), ("+", one.ours)):
            for item, text in sorted(group.items()):
                if not codes or item.code in codes:
                    lines.append(f"{sign} {one.case.name}: {item}: {text}")
    table = [f"{'code':8} {'both':>6} {'missed':>6} {'only ours':>9}"]
    for code in sorted(counts):
        count = counts[code]
        table.append(f"{code:8} {count['both']:6} {count['missed']:6} {count['ours']:9}")
    return "\n".join([*(lines if everything else ()), *table])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
