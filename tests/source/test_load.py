from __future__ import annotations

import gc
import os
import resource as limits
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from meshlint.resources import resources_in
from meshlint.source import read as module
from meshlint.source.changes import Reading
from meshlint.source.load import Loaded, load

SERVICE = "apiVersion: v1\nkind: Service\nmetadata:\n  name: {}\n"


@pytest.fixture(autouse=True)
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PRE_COMMIT", raising=False)
    return tmp_path


def write(path: str, text: str | bytes = "") -> None:
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    data = text or SERVICE.format(target.stem.lower())
    target.write_bytes(data if isinstance(data, bytes) else data.encode())


def read(*inputs: str, **options: object) -> list[str]:
    loaded = load(inputs, **options)  # type: ignore[arg-type]
    assert loaded.errors == []
    return [file.path for file in loaded.files]


def identities(loaded: Loaded) -> set[str]:
    return {resource.title for resource in resources_in(loaded.files, reading=Reading.WRITTEN)}


class TestDiscovery:
    def test_folders_are_walked_in_order(self) -> None:
        for path in ("b.yml", "a/c.yaml", "a/b.json", "a.txt", ".hidden/x.yaml", "a/.git/x.yaml"):
            write(path)
        for path in ("node_modules/m/x.yaml", "env/pyvenv.cfg", "env/lib/x.yaml", "z/y.yaml"):
            write(path)
        assert read(".") == ["a/b.json", "a/c.yaml", "b.yml", "z/y.yaml"]

    def test_a_hidden_folder_may_be_named(self) -> None:
        write(".hidden/x.yaml")
        assert read(".hidden") == [".hidden/x.yaml"]

    def test_a_named_file_is_read_whatever_its_suffix(self) -> None:
        write("a.txt")
        assert read("a.txt") == ["a.txt"]

    def test_order_of_inputs_and_no_file_twice(self) -> None:
        write("a.yaml")
        write("b/c.yaml")
        assert read("b", "a.yaml", ".", "b/c.yaml", "./b/../a.yaml") == ["b/c.yaml", "a.yaml"]

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("**/*.yaml", ["a/b/y.yaml", "a/x.yaml", "z.yaml"]),
            ("a/**", ["a/b/y.yaml", "a/x.yaml"]),
            ("a/*", ["a/b/y.yaml", "a/x.yaml"]),
            ("?.yaml", ["z.yaml"]),
            ("[x-z].yaml", ["z.yaml"]),
            ("*.txt", ["q.txt"]),
        ],
    )
    def test_globs(self, pattern: str, expected: list[str]) -> None:
        for path in ("z.yaml", "a/x.yaml", "a/b/y.yaml", "q.txt", "node_modules/n.yaml", ".h/x.yaml"):
            write(path)
        assert sorted(read(pattern)) == expected

    def test_a_file_whose_name_looks_like_a_glob(self) -> None:
        write("a[1].yaml")
        assert read("a[1].yaml") == ["a[1].yaml"]

    def test_what_is_not_there(self) -> None:
        assert load(["no.yaml", "no/*.yaml"]).errors == [
            ("no.yaml", "no such file or folder"),
            ("no/*.yaml", "no file matches this pattern"),
        ]

    @pytest.mark.parametrize(
        ("patterns", "left"),
        [
            (["*.gen.yaml"], ["a/x.yaml", "b/a/y.yaml", "k.yaml"]),
            (["a"], ["b.gen.yaml", "k.yaml"]),
            (["a/"], ["b.gen.yaml", "k.yaml"]),
            (["/a"], ["b.gen.yaml", "b/a/y.yaml", "k.yaml"]),
            (["a/**"], ["b.gen.yaml", "b/a/y.yaml", "k.yaml"]),
            (["**/a/**"], ["b.gen.yaml", "k.yaml"]),
            (["b/*/y.yaml"], ["a/x.yaml", "b.gen.yaml", "k.yaml"]),
            (["b/**/y.yaml"], ["a/x.yaml", "b.gen.yaml", "k.yaml"]),
            (["./b"], ["a/x.yaml", "b.gen.yaml", "k.yaml"]),
            (["*.yaml", "!k.yaml"], ["k.yaml"]),
            (["[!k].yaml", "# no", ""], ["b.gen.yaml", "k.yaml"]),
            (["?.yaml"], ["b.gen.yaml"]),
            (["**"], []),
            (["a/x.yaml/"], ["a/x.yaml", "b.gen.yaml", "b/a/y.yaml", "k.yaml"]),
        ],
        ids=str,
    )
    def test_exclude(self, patterns: list[str], left: list[str]) -> None:
        for path in ("a/x.yaml", "b/a/y.yaml", "b.gen.yaml", "k.yaml"):
            write(path)
        assert sorted(read(".", exclude=patterns)) == sorted(left)

    def test_exclude_is_relative_to_the_root(self, tree: Path) -> None:
        write("sub/a/x.yaml")
        write("a/x.yaml")
        assert read(".", exclude=["/a"], root=tree / "sub") == ["a/x.yaml"]

    def test_excluded_files_are_left_out_even_when_named(self) -> None:
        write("a.yaml")
        assert read("a.yaml", exclude=["a.yaml"]) == []

    def test_link_loops_end(self) -> None:
        write("a/b/x.yaml")
        Path("a/b/up").symlink_to("..")
        Path("a/self").symlink_to("self")
        Path("a/again.yaml").symlink_to("b/x.yaml")
        Path("a/dangling.yaml").symlink_to("nowhere")
        assert len(read("a")) == 1

    def test_links_out_of_the_tree_are_not_followed(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        outside = tmp_path_factory.mktemp("outside")
        (outside / "x.yaml").write_text(SERVICE.format("x"))
        write("a/y.yaml")
        Path("a/out").symlink_to(outside)
        Path("a/root").symlink_to("/")
        write("b/z.yaml")
        Path("a/sibling").symlink_to("../b")
        assert read("a") == ["a/sibling/z.yaml", "a/y.yaml"]

    def test_pipes_do_not_block(self) -> None:
        os.mkfifo("p.yaml")
        assert read(".") == []

    def test_names_that_are_no_text(self) -> None:
        Path(os.fsdecode(b"\xff.yaml")).write_text(SERVICE.format("x"))
        (path,) = read(".")
        path.encode()

    def test_under_pre_commit_the_index_counts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for path in ("a.yaml", "b/c.yaml", "b/untracked.yaml", ".hidden/x.yaml", "gone.yaml", "b/ü.yaml"):
            write(path)
        subprocess.run(["git", "init", "-q"], check=True)
        tracked = ["a.yaml", "b/c.yaml", ".hidden/x.yaml", "gone.yaml", "b/ü.yaml"]
        subprocess.run(["git", "add", *tracked], check=True)
        Path("gone.yaml").unlink()
        assert "b/untracked.yaml" in read(".")
        monkeypatch.setenv("PRE_COMMIT", "1")
        assert read(".") == ["a.yaml", "b/c.yaml", "b/ü.yaml"]
        assert read("b") == ["b/c.yaml", "b/ü.yaml"]
        assert read(".", exclude=["b"]) == ["a.yaml"]
        assert read("b/untracked.yaml") == ["b/untracked.yaml"]

    def test_under_pre_commit_without_a_repository(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write("a.yaml")
        monkeypatch.setenv("PRE_COMMIT", "1")
        monkeypatch.setenv("GIT_CEILING_DIRECTORIES", "/")
        assert read(".") == ["a.yaml"]


class TestReading:
    def test_standard_input(self) -> None:
        loaded = load(["-"], stdin=SERVICE.format("cart").encode())
        assert [file.path for file in loaded.files] == ["<stdin>"]
        assert identities(loaded) == {"Service default/cart"}

    def test_files_that_hold_no_manifest_are_not_parsed(self) -> None:
        write("values.yaml", "a: [broken\n")
        write("values.txt", "a: [broken\n")
        assert read(".") == []
        (file,) = load(["values.yaml"]).files
        assert (file.documents, file.problems) == ([], [])

    def test_undecodable(self) -> None:
        write("a.yaml", SERVICE.format("a").encode() + b"# caf\xe9\n")
        write("b.yaml", b"caf\xe9\n")
        assert load(["."]).errors == [
            ("a.yaml", "line 5, column 6: the byte 0xE9 is not UTF-8; save the file as UTF-8")
        ]
        assert len(load(["b.yaml"]).errors) == 1

    @pytest.mark.parametrize("codec", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
    def test_encodings(self, codec: str) -> None:
        write("a.yaml", SERVICE.format("cart").replace("\n", "\r\n").encode(codec))
        loaded = load(["a.yaml"])
        assert identities(loaded) == {"Service default/cart"}
        (file,) = loaded.files
        assert file.position(file.text.index("cart")) == (4, 9)

    def test_unreadable(self, monkeypatch: pytest.MonkeyPatch) -> None:
        write("a.yaml")
        write("b.yaml")
        real = open

        def refuse(path: str, *rest: object, **more: object) -> object:
            if path.endswith("a.yaml"):
                raise PermissionError(13, "Permission denied")
            return real(path, *rest, **more)  # type: ignore[call-overload]

        monkeypatch.setattr("builtins.open", refuse)
        loaded = load(["."])
        assert loaded.errors == [("a.yaml", "cannot be read: Permission denied")]
        assert len(loaded.files) == 1

    def test_size_limit(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "FILE_SIZE_LIMIT", 1024 * 1024)
        write("a.yaml", SERVICE.format("a") + "#" * 1024 * 1024)
        assert load(["."]).errors == [("a.yaml", "is larger than the limit of 1 MiB")]

    def test_objects_that_are_none_are_passed_over(self) -> None:
        write(
            "a.yaml",
            "kind: x\napiVersion: 1\n---\n- kind: Service\n  apiVersion: v1\n---\nkind: [apiVersion]\n",
        )
        write("kustomization.yaml", "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n")
        write("compose.yaml", "services: {kind: {apiVersion: x}}\n")
        assert identities(load(["."])) == {"x default/"}

    def test_lists_are_unwrapped(self) -> None:
        inner = '{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "%s"}}'
        nested = f'{{"apiVersion": "v1", "kind": "ServiceList", "items": [{inner % "a"}]}}'
        write(
            "a.json", f'{{"apiVersion": "v1", "kind": "List", "items": [{nested}, {inner % "b"}, 1, null]}}'
        )
        assert identities(load(["."])) == {"Service default/a", "Service default/b"}

    def test_the_digest_changes_with_whatever_is_read(self) -> None:
        write("a.yaml")
        write("values.yaml", "a: 1\n")
        first = module.read(["."]).digest
        write("values.yaml", "a: 2\n")
        assert module.read(["."]).digest == first
        digests = {first, module.read(["a.yaml"]).digest, module.read([".", "no.yaml"]).digest}
        write("a.yaml", SERVICE.format("b"))
        digests.add(module.read(["."]).digest)
        Path("a.yaml").rename("b.yaml")
        digests.add(module.read(["."]).digest)
        assert len(digests) == 5

    def test_garbage_collection_is_restored(self) -> None:
        load(["."])
        assert gc.isenabled()
        gc.disable()
        try:
            load(["."])
            assert not gc.isenabled()
        finally:
            gc.enable()

    @given(st.binary(max_size=200))
    def test_no_bytes_raise(self, data: bytes) -> None:
        load(["-"], stdin=data)
        load(["-"], stdin=b"kind apiVersion\n---\n" + data)


class TestTemplates:
    def test_charts(self) -> None:
        write("chart/Chart.yaml", "apiVersion: v2\nname: shop\n")
        write("chart/templates/sub/a.yaml", "#{{ if .x }}\n" + SERVICE.format("cart"))
        write("chart/templates/common.yaml", '{{ include "common" . }}\n')
        write("other/templates/a.yaml", "#{{ if .x }}\n" + SERVICE.format("cart"))
        loaded = load(["."])
        assert {f.path: f.skipped for f in loaded.files} == {
            "chart/templates/sub/a.yaml": "helm-template",
            "chart/templates/common.yaml": "helm-template",
            "other/templates/a.yaml": None,
        }
        assert loaded.may_exist == {("Service", "cart")}
        assert loaded.remainder

    def test_without_templates_there_is_no_remainder(self) -> None:
        write("a.yaml")
        assert not load(["."]).remainder


class TestKustomize:
    def test_namespace_of_listed_files(self) -> None:
        write("k/kustomization.yaml", "namespace: shop\nresources: [a.yaml, ./sub/b.yaml]\n")
        for path in ("k/a.yaml", "k/sub/b.yaml", "k/c.yaml"):
            write(path)
        loaded = load(["."])
        assert identities(loaded) == {"Service shop/a", "Service shop/b", "Service default/c"}
        assert not loaded.remainder

    def test_overlay_sets_the_namespace(self) -> None:
        write("base/kustomization.yaml", "resources: [a.yaml]\nnamespace: inner\n")
        write("base/a.yaml")
        write("prod/kustomization.yaml", "resources: [../base]\nnamespace: outer\n")
        assert identities(load(["."])) == {"Service outer/a"}

    def test_two_overlays_build_each_object_twice(self) -> None:
        write("base/kustomization.yaml", "resources: [a.yaml]\n")
        write("base/a.yaml")
        write("dev/kustomization.yaml", "resources: [../base]\nnamespace: dev\n")
        write("prod/kustomization.yaml", "resources: [../base]\nnamespace: prod\n")
        loaded = load(["."])
        assert identities(loaded) == {"Service dev/a", "Service prod/a"}
        assert not loaded.remainder

    def test_kustomizations_in_the_working_directory_and_in_a_circle(self) -> None:
        write("kustomization.yml", "resources: [a.yaml, sub]\nnamespace: shop\n")
        write("a.yaml")
        write("sub/Kustomization", "resources: [b.yaml, ..]\n")
        write("sub/b.yaml")
        assert identities(load(["."])) <= {f"Service {n}/{s}" for n in ("shop", "default") for s in "ab"}

    def test_a_namespace_that_is_written_is_overridden(self) -> None:
        write("kustomization.yaml", "resources: [a.yaml]\nnamespace: shop\n")
        write("a.yaml", SERVICE.format("a") + "  namespace: other\n")
        assert identities(load(["."])) == {"Service shop/a"}

    def test_patches_are_no_objects(self) -> None:
        write(
            "kustomization.yaml",
            """
resources: [a.yaml, both.yaml]
patches: [{path: p1.yaml}, {path: both.yaml}, {patch: "- op: add"}]
patchesStrategicMerge: [p2.yaml, "kind: X\\napiVersion: v1\\n"]
patchesJson6902: [{path: p3.yaml, target: {}}]
replacements: [{path: r.yaml}]
transformers: [t.yaml]
configMapGenerator: [{name: c, files: [data=d.yaml, e.yaml]}]
secretGenerator: [{name: cert, files: [f.yaml]}]
""",
        )
        names = ("a", "both", "p1", "p2", "p3", "r", "t", "d", "e", "f", "free")
        for name in names:
            write(f"{name}.yaml")
        write("delete.yaml", SERVICE.format("gone") + "$patch: delete\n")
        loaded = load(["."])
        assert identities(loaded) == {"Service default/a", "Service default/both", "Service default/free"}
        assert ("Secret", "cert") in loaded.may_exist
        assert loaded.remainder

    @pytest.mark.parametrize(
        ("line", "remainder"),
        [
            ("images: [{name: a, newTag: b}]", False),
            ("commonAnnotations: {a: b}", False),
            ("namePrefix: x-", True),
            ("nameSuffix: -x", True),
            ("commonLabels: {a: b}", True),
            ("labels: [{pairs: {a: b}}]", True),
            ("patches: [{path: p.yaml}]", True),
            ("patches: []", False),
            ("replacements: [{path: r.yaml}]", True),
            ("components: [../c]", True),
            ("helmCharts: [{name: x}]", True),
            ("bases: [github.com/org/repo//base?ref=v1]", True),
            ("bases: ['https://example.com/x.yaml']", True),
            ("bases: [missing]", True),
            ("namespace: shop", False),
        ],
    )
    def test_remainder(self, line: str, remainder: bool) -> None:
        write("kustomization.yaml", f"resources: [a.yaml]\n{line}\n")
        write("a.yaml")
        assert load(["."]).remainder is remainder

    def test_many_layers_end(self) -> None:
        for layer in range(300):
            below = "" if layer == 299 else f"../a{layer + 1}, ../b{layer + 1}"
            for side in "ab":
                write(f"{side}{layer}/kustomization.yaml", f"resources: [{below}]\nnamespace: n{layer}\n")
        load(["."])


HOSTILE = {
    "alias bomb": "kind: &k0 [apiVersion, x, x, x, x, x, x, x, x]\n"
    + "".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 9)}]\n" for n in range(1, 40)),
    "brackets": "kind: apiVersion\na: " + "[" * 10_000,
    "many brackets": "kind: apiVersion\na: " + "[" * 5_000_000,
    "deep blocks": "kind: apiVersion\n" + "\n".join(" " * n + "a:" for n in range(3000)),
    "scalar": "kind: apiVersion\na: " + "x" * 50_000_000,
    "quoted scalar": 'kind: apiVersion\na: "' + "x\\n" * 10_000_000 + '"',
    "long line of flow": "kind: apiVersion\na: [" + "a, " * 500_000 + "a]",
    "long key": "kind: apiVersion\n" + "k" * 5_000_000 + ": 1",
    "integer": "kind: apiVersion\na: " + "9" * 5_000_000,
    "hashes": "kind: apiVersion\n" + "#\n" * 2_000_000,
    "markers": "kind: apiVersion\n" + "---\n" * 300_000,
    "json strings": '{"kind": "apiVersion", "a": ["' + '\\ud83d\\ude00' * 500_000,
    "ampersands": "kind: apiVersion\na: " + " &" * 2_000_000,
    "braces": "kind: apiVersion\na: '" + "{{" * 2_000_000,
}  # fmt: skip

PROGRAM = """
import resource, sys
resource.setrlimit(resource.RLIMIT_AS, (1_200_000_000, 1_200_000_000))
resource.setrlimit(resource.RLIMIT_CPU, (30, 30))
from meshlint.source.load import load
from meshlint.resources import resources_in
loaded = load(["-"], stdin=sys.stdin.buffer.read())
resources_in(loaded.files)
for file in loaded.files:
    for document in file.documents:
        if document.root is not None:
            document.root.plain()
print(len(loaded.files[0].documents), len(loaded.files[0].problems), len(loaded.errors))
"""


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_input_is_bounded(name: str) -> None:
    """1.2 GB of address space for at most 50 MB of input, half a minute of processor time."""
    root = Path(module.__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=HOSTILE[name].encode(),
        capture_output=True,
        env={**os.environ, "PYTHONPATH": str(root)},
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()[-2000:]
    assert done.stderr == b""
    assert limits.getrusage(limits.RUSAGE_CHILDREN).ru_maxrss < 1_200_000
