"""`python -m benchmarks` measures what the design promises and prints ratios.

Everything runs in processes of its own, in turns (so that a busy machine slows all alike), several
times; the medians count. Times are processor time, memory is the peak of the process. The floor is
`yaml.compose_all(..., CSafeLoader)` over the same bytes, its start-up not included; meshlint's time
includes everything. Byte code goes to a temporary folder, so that an installed package and a checkout
are measured alike.

    python -m benchmarks                                # what CI checks: 1,000 and 10,000 documents
    python -m benchmarks --sizes 1000,10000,50000,100000 --runs 3
    python -m benchmarks --sizes 1000 --shared 10000,100000 --runs 1      # one gateway for everybody
    python -m benchmarks --python /venv/bin/python      # the meshlint that is installed there

Copies of manifests do not meet each other. In the trees of `--shared` they do: half of the documents are
Services, a fifth are VirtualServices, and all of those use one Gateway. `python -m benchmarks.shapes` goes
further and lets one thing at a time grow.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

from benchmarks.shapes import write

HERE = Path(__file__).parent
FLOOR = """
import sys, time, yaml
from pathlib import Path
texts = [path.read_bytes() for path in sorted(Path(sys.argv[1]).rglob("*")) if path.is_file()]
began = time.process_time()
for text in texts:
    for root in yaml.compose_all(text, Loader=yaml.CSafeLoader):
        pass
print(time.process_time() - began, sum(map(len, texts)))
"""
SMALL = """apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  namespace: shop
spec:
  mtls:
    mode: PERMISSIVE
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Seconds and bytes of one process."""

    cpu: float
    wall: float
    memory: float
    output: str


@dataclass(frozen=True, slots=True)
class Row:
    what: str
    value: str
    target: str
    holds: bool


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--sizes", default="1000,10000", help="numbers of documents, ascending")
    parser.add_argument("--shared", default="2500,10000", help="sizes of trees around one gateway, ascending")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has meshlint")
    parser.add_argument("--corpus", type=Path, default=_corpus(), help="manifests to repeat")
    parser.add_argument("--strict", action="store_true", help="exit with 1 if a target is missed")
    given = parser.parse_args()
    sizes, shared = ([int(n) for n in text.split(",")] for text in (given.sizes, given.shared))
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(given.python, Path(scratch), given.runs, given.corpus)
        rows = [*bench.start_up(), *bench.sizes(sizes), *bench.shared(shared)]
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"{'ok  ' if row.holds else 'MISS'}  {row.what:{width}}  {row.value}   (target: {row.target})")
    if given.strict and not all(row.holds for row in rows):
        raise SystemExit(1)


def _corpus() -> Path:
    """Corpora beside the checkout if there are any, else the examples."""
    beside = HERE.parent.parent / "shared" / "corpus"
    return beside if beside.is_dir() else HERE.parent / "examples"


class Bench:
    def __init__(self, python: str, scratch: Path, runs: int, corpus: Path) -> None:
        self.python = python
        self.scratch = scratch
        self.runs = runs
        self.corpus = corpus
        self.environment = {
            name: value for name, value in os.environ.items() if name not in ("PYTHONDONTWRITEBYTECODE", "CI")
        } | {"PYTHONPYCACHEPREFIX": str(scratch / "bytecode"), "XDG_CACHE_HOME": str(scratch / "cache")}
        # the checkout measures itself; another interpreter must not see it
        self.folder = HERE.parent if python == sys.executable else scratch

    def meshlint(self, *arguments: str) -> Callable[[], Sample]:
        return lambda: self._run([self.python, "-m", "meshlint", *arguments])

    def code(self, code: str, *arguments: str) -> Callable[[], Sample]:
        return lambda: self._run([self.python, "-c", code, *arguments])

    def start_up(self) -> list[Row]:
        small = self.scratch / "small.yaml"
        small.write_text(SMALL)
        runs = max(self.runs, 7)
        nothing, version, lint = self._in_turns(
            runs,
            self.code("pass"),
            self.meshlint("--version"),
            self.meshlint("lint", "--no-cache", str(small)),
        )
        base, first, second = (
            median(sample.cpu for sample in samples) for samples in (nothing, version, lint)
        )
        allowed = 0.15 * max(1.0, base / 0.03)  # 0.15 s where an empty Python takes up to 0.03 s
        return [
            Row(
                "meshlint --version",
                f"{first / base:.1f} x `python -c pass` ({first:.3f} s)",
                "5 x",
                first <= 5 * base,
            ),
            Row(
                "one small file",
                f"{second:.3f} s, {second / base:.1f} x",
                f"{allowed:.2f} s",
                second <= allowed,
            ),
        ]

    def sizes(self, sizes: list[int]) -> list[Row]:
        rows: list[Row] = []
        first: tuple[float, float] | None = None
        for size in sizes:
            tree = self.scratch / f"tree-{size}"
            self._tree(tree, size)
            floors, colds = self._in_turns(
                self.runs,
                self.code(FLOOR, str(tree)),
                self.meshlint("lint", "--no-cache", str(tree)),
            )
            floor = median(float(sample.output.split()[0]) for sample in floors)
            data = int(floors[0].output.split()[1])
            cold = median(sample.cpu for sample in colds)
            memory = median(sample.memory for sample in colds)
            name = f"{size:,} documents"
            speed = f"{cold / floor:.2f} x the floor ({cold:.2f} s, floor {floor:.2f} s, {data / 1e6:.1f} MB)"
            rows.append(Row(f"{name}, cold", speed, "3 x", cold <= 3 * floor))
            again = median(
                sample.cpu for sample in self._in_turns(self.runs, self.meshlint("lint", str(tree)))[0]
            )
            rows.append(
                Row(
                    f"{name}, again",
                    f"{again / floor:.2f} x the floor ({again:.2f} s)",
                    "0.5 x",
                    again <= floor / 2,
                )
            )
            above = (memory - 60e6) / data
            rows.append(
                Row(
                    f"{name}, memory",
                    f"{memory / 1e6:.0f} MB, 60 MB + {max(above, 0):.1f} x input",
                    "40 x",
                    above <= 40,
                )
            )
            if first is not None:
                growth = cold / floor / first[0]
                rows.append(
                    Row(f"{name}, growth of time", f"{growth:.2f} x linear", "1.25 x", growth <= 1.25)
                )
                growth = memory / data / first[1]
                rows.append(
                    Row(f"{name}, growth of memory", f"{growth:.2f} x linear", "1.25 x", growth <= 1.25)
                )
            elif size >= 10_000 or len(sizes) == 1:
                first = (cold / floor, memory / data)
        return rows

    def shared(self, sizes: list[int]) -> list[Row]:
        """Trees in which everything meets at one gateway, against the first of them."""
        rows: list[Row] = []
        first: tuple[int, float, float] | None = None
        for size in sizes:
            tree = self.scratch / f"shared-{size}"
            write("shared-gateway", size, tree)
            samples = self._in_turns(self.runs, self.meshlint("lint", "--no-cache", str(tree)))[0]
            cold = median(sample.cpu for sample in samples)
            memory = median(sample.memory for sample in samples)
            if first is None:
                first = (size, cold, memory)
                continue
            times = size / first[0]
            for what, now, before, unit in (
                ("time", cold, first[1], f"{first[1]:.2f} s, then {cold:.2f} s"),
                ("memory", memory, first[2], f"{first[2] / 1e6:.0f} MB, then {memory / 1e6:.0f} MB"),
            ):
                growth = now / before
                rows.append(
                    Row(
                        f"{first[0]:,} to {size:,} documents, one gateway, {what}",
                        f"{growth:.2f} x for {times:g} x the input, {growth / times:.2f} x linear ({unit})",
                        "1.25 x",
                        growth <= 1.25 * times,
                    )
                )
        return rows

    def _tree(self, target: Path, size: int) -> None:
        command = [sys.executable, "-m", "benchmarks.tree", str(self.corpus), str(target), str(size)]
        subprocess.run(command, check=True, cwd=HERE.parent, stdout=subprocess.DEVNULL)

    def _in_turns(self, runs: int, *commands: Callable[[], Sample]) -> list[list[Sample]]:
        """All commands once to warm up, then in turns."""
        for command in commands:
            command()
        turns = [[command() for command in commands] for _ in range(runs)]
        return [list(samples) for samples in zip(*turns, strict=True)]

    def _run(self, command: list[str]) -> Sample:
        errors = tempfile.TemporaryFile("w+")  # noqa: SIM115 - it ends with the process
        began = perf_counter()
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=self.environment,
            cwd=self.folder,
        )
        assert process.stdout is not None
        output = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode not in (0, 1):
            errors.seek(0)
            raise SystemExit(
                f"{' '.join(command)} exited with {process.returncode}:\n{errors.read()[-2000:]}"
            )
        scale = 1 if sys.platform == "darwin" else 1024
        wall = perf_counter() - began
        return Sample(usage.ru_utime + usage.ru_stime, wall, usage.ru_maxrss * scale, output[:10_000])


if __name__ == "__main__":
    main()
