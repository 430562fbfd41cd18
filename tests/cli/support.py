"""How tests call the command line: in this process, or as a user does."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

REPOSITORY = Path(__file__).parents[2]
BAD = dedent(
    """\
    apiVersion: security.istio.io/v1
    kind: PeerAuthentication
    metadata:
      name: default
      namespace: shop
    spec:
      mtls:
        mode: STRICT
      portLevelMtls:
        8080:
          mode: STRICT
    """
)
GOOD = BAD[: BAD.index("  portLevel")]
RULE = "mtls-port-level-needs-selector"


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


def environment(**more: str) -> dict[str, str]:
    """Without anything that changes what is printed."""
    scrubbed = ("NO_COLOR", "FORCE_COLOR", "CI", "TERM", "COLUMNS", "PRE_COMMIT", "MESHLINT_TRACEBACK")
    kept = {k: v for k, v in os.environ.items() if k not in scrubbed}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "PYTHONUTF8": "1", **more}


def meshlint(*arguments: str, cwd: Path, stdin: str | bytes = b"", **env: str) -> Done:
    """Run it as a process of its own."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    done = subprocess.run(
        [sys.executable, "-m", "meshlint", *arguments],
        cwd=cwd, input=data, capture_output=True, env=environment(**env), check=False, timeout=60,
    )  # fmt: skip
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def write(folder: Path, **files: str) -> None:
    """`a__b="..."` is the file a/b.yaml."""
    for name, text in files.items():
        path = folder / (name.replace("__", "/") + ".yaml")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
