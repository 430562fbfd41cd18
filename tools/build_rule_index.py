"""Write rules/index.json from the rule files; with --check, only say whether it is fresh."""

from __future__ import annotations

import sys

from meshlint.policy.index import INDEX, build_index
from meshlint.policy.rules import rules_directory


def main() -> int:
    path = rules_directory() / INDEX
    text = build_index()
    if path.is_file() and path.read_text("utf-8") == text:
        return 0
    if "--check" in sys.argv[1:]:
        print(f"{path} is stale: run python tools/build_rule_index.py", file=sys.stderr)
        return 1
    path.write_text(text, "utf-8")
    print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
