"""Is a text or a value made by a template language? (spec repositories 1 and 2)"""

from __future__ import annotations

import re

_PLACEHOLDER = re.compile(r"\{\{|\$\{|\$\(|\[\[|<%|@@|^PATCH_ME|_PLACEHOLDER$|^PLACEHOLDER")


def is_placeholder(text: str | None) -> bool:
    """Would another tool replace this value before the cluster sees it?"""
    return text is not None and _PLACEHOLDER.search(text) is not None
