"""`meshlint lint`: streams, exit codes, outputs, and what is said when the job cannot be done."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
import time

import pytest

from tests.cli.support import BAD, GOOD, RULE, environment, meshlint, write

ERROR = "meshlint: error:"
REPORT = f"""\
error[{RULE}]: PeerAuthentication shop/default sets portLevelMtls without a selector, which Istio refuses
  --> a.yaml:9:3
   |
 8 |     mode: STRICT
 9 |   portLevelMtls:
   |   ^^^^^^^^^^^^^ needs a selector with labels
   = help: select the workload with spec.selector.matchLabels, or drop portLevelMtls
   = docs: meshlint explain {RULE}

1 finding (1 error) in 1 resource, 1 file
"""


def test_findings_go_to_standard_output(folder):
    write(folder, a=BAD)
    done = meshlint(".", "--select", RULE, cwd=folder)
    assert (done.code, done.err) == (1, "")
    assert done.out == REPORT


@pytest.mark.parametrize("arguments", [(), ("lint",), ("lint", "."), (".",), ("a.yaml",), ("*.yaml",)])
def test_what_is_no_command_is_a_path(folder, arguments):
    write(folder, a=BAD)
    assert meshlint(*arguments, "--select", RULE, cwd=folder).out == REPORT


def test_nothing_found(call, folder):
    write(folder, a=GOOD)
    done = call("--select", RULE)
    assert (done.code, done.out, done.err) == (0, "No findings in 1 resource, 1 file\n", "")


def test_standard_input(folder):
    done = meshlint("-", "--format", "concise", "--select", RULE, "--quiet", cwd=folder, stdin=BAD)
    assert done.code == 1
    assert done.out.startswith(f"<stdin>:9:3: error[{RULE}] ")


@pytest.mark.parametrize(
    ("fail_on", "severity", "code"),
    [
        (None, "error", 1), (None, "warning", 1), (None, "info", 0),
        ("error", "error", 1), ("error", "warning", 0), ("info", "info", 1), ("never", "error", 0),
    ],
)  # fmt: skip
def test_fail_on(call, folder, fail_on, severity, code):
    write(folder, a=BAD)
    (folder / ".meshlint.yaml").write_text(f"severity: {{{RULE}: {severity}}}\n")
    options = ("--fail-on", fail_on) if fail_on else ()
    assert call("--select", RULE, *options).code == code


def test_fail_on_of_the_configuration(call, folder):
    write(folder, a=BAD)
    (folder / ".meshlint.yaml").write_text("failOn: never\n")
    assert call("--select", RULE).code == 0


def test_suppressed_findings_do_not_count(call, folder):
    write(folder, a=BAD.replace("portLevelMtls:", f"portLevelMtls: # meshlint: ignore[{RULE}] on purpose"))
    done = call("--select", RULE, "--show-suppressed")
    assert done.code == 0
    assert done.out == (
        "No findings in 1 resource, 1 file; 1 suppressed\n"
        "\n"
        "suppressed (1):\n"
        f"  a.yaml:9:3: error[{RULE}] (by comment at a.yaml:9: on purpose)\n"
    )


class TestTheJobCannotBeDone:
    """Exit code 2, one line per reason, no traceback."""

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (("nowhere",), "meshlint: error: nowhere: no such file or folder\n"),
            (("rulse",), f"{ERROR} rulse: no such file or folder; did you mean the command 'rules'?\n"),
            (("*.yml",), "meshlint: error: *.yml: no file matches this pattern\n"),
            (("empty",), "meshlint: error: no manifest found in empty; --allow-empty makes that fine\n"),
            (("--config", "x"), "meshlint: error: x: cannot be read: No such file or directory\n"),
        ],
    )  # fmt: skip
    def test_input(self, call, folder, arguments, error):
        (folder / "empty").mkdir()
        done = call(*arguments, "--quiet")
        assert (done.code, done.err) == (2, error)

    @pytest.mark.parametrize(
        ("arguments", "error"),
        [
            (("--select", "mtlss"), "there is no rule or family named 'mtlss'; did you mean 'mtls'?"),
            (("--ignore", f"{RULE},nope-nope"), "there is no rule or family named 'nope-nope'"),
            (("--select", "IST0999"), "no rule answers for the code IST0999"),
            (("--output", "sarf"), "there is no format 'sarf'; did you mean 'sarif'?"),
            (("--output", "zzzz"), "there is no format 'zzzz', expected one of text, concise, json"),
            (("--output", "json="), "'json=' names no file after '='"),
            (("--output", "json=no/where.json"), "no/where.json: there is no folder no"),
            (("--output", "json", "--output", "text"), "two reports cannot both go to standard output"),
            (("--output", "json=a", "--output", "text=a"), "two reports cannot both go to a"),
            (("--fail-on", "fatal"), "'fatal' is not one of 'error', 'warning', 'info', 'never'"),
            (("--profil", "strict"), "No such option '--profil'"),
            (("--config", "a", "--no-config"), "--config and --no-config exclude each other"),
            (("--report-only",), "--report-only needs the files to report on"),
            (("--platform", "gke"), "'gke' is not 'kyma'"),
        ],
    )
    def test_usage(self, call, folder, arguments, error):
        write(folder, a=GOOD)
        done = call(*arguments)
        assert done.code == 2
        assert done.out == ""
        assert error in done.err.replace("'.", "'"), done.err
        assert "Usage: meshlint" in done.err

    def test_configuration(self, call, folder):
        write(folder, a=GOOD)
        (folder / ".meshlint.yaml").write_text("profil: strict\nfailOn: fatal\n")
        done = call()
        assert done.code == 2
        assert done.out == ""
        assert done.err == (
            "meshlint: error: .meshlint.yaml:1:1: unknown key 'profil'; did you mean 'profile'?\n"
            "meshlint: error: .meshlint.yaml:2:9: failOn: found the string 'fatal', expected one of error, "
            "warning, info, never\n"
        )

    def test_unreadable_input_does_not_hide_findings(self, call, folder):
        write(folder, a=BAD)
        done = call("a.yaml", "nowhere", "--select", RULE, "--format", "concise")
        assert done.code == 2
        assert RULE in done.out
        assert "meshlint: error: nowhere: no such file or folder" in done.err

    def test_a_report_that_cannot_be_written(self, call, folder):
        write(folder, a=GOOD)
        (folder / "out").mkdir()
        done = call("--output", "json=out")
        assert (done.code, done.err) == (2, "meshlint: error: out: cannot be written: Is a directory\n")


def test_no_manifest_may_be_fine(call, folder):
    assert call("--allow-empty").code == 0


def test_broken_yaml_is_a_finding(call, folder):
    (folder / "a.yaml").write_text("apiVersion: v1\nkind: [\n")
    done = call("--format", "concise")
    assert (done.code, "yaml-syntax" in done.out) == (1, True)


def test_several_reports_from_one_run(call, folder):
    write(folder, a=BAD)
    done = call(
        "--select", RULE, "--output", "json=-", "--output", "sarif=out.sarif", "--output", "concise=out.txt"
    )
    assert json.loads(done.out)["summary"]["error"] == 1
    assert done.err == "1 finding (1 error) in 1 resource, 1 file\n"
    assert json.loads((folder / "out.sarif").read_text())["version"] == "2.1.0"
    assert (folder / "out.txt").read_text().startswith("a.yaml:9:3")
    assert sorted(p.name for p in folder.iterdir()) == [".git", "a.yaml", "out.sarif", "out.txt"]


def test_a_report_file_can_be_read_by_others(call, folder):
    write(folder, a=GOOD)
    call("--output", "json=out.json")
    assert stat.S_IMODE((folder / "out.json").stat().st_mode) & 0o044 == 0o044


def test_a_report_replaces_the_one_before(call, folder):
    write(folder, a=GOOD)
    (folder / "out.json").write_text("before")
    assert call("--output", "json=out.json").out == ""
    assert json.loads((folder / "out.json").read_text())["schema_version"] == 1


def test_statistics(call, folder):
    write(folder, a=BAD, b=BAD.replace("default", "other"))
    done = call("--select", RULE, "--statistics", "--format", "concise", "--quiet")
    assert done.out.splitlines()[2:] == [
        "",
        "count  severity  rule                            family",
        f"    2  error     {RULE}  mtls",
        "",
        "count  family",
        "    2  mtls",
    ]


def test_statistics_stay_out_of_a_report_for_machines(call, folder):
    write(folder, a=BAD)
    done = call("--select", RULE, "--statistics", "--format", "json", "--quiet")
    assert json.loads(done.out)
    assert f"1  error     {RULE}" in done.err


def test_quiet_says_nothing_when_there_is_nothing(call, folder):
    write(folder, a=GOOD)
    done = call("--select", RULE, "--quiet")
    assert (done.out, done.err) == ("", "")


def test_report_only(call, folder):
    write(folder, a=BAD, sub__b=BAD.replace("default", "other"))
    done = call("--report-only", "--select", RULE, "--format", "concise", "--quiet", "./sub/b.yaml")
    assert [line.split(":")[0] for line in done.out.splitlines()] == ["sub/b.yaml"]


def test_report_only_uses_the_roots_of_the_configuration(call, folder):
    write(folder, mesh__a=BAD, other__b=BAD)
    (folder / ".meshlint.yaml").write_text("roots: [mesh]\n")
    options = ("--select", RULE, "--format", "concise", "--quiet")
    assert call(*options).out.count("\n") == 1
    assert call("--report-only", *options, "other/b.yaml").out == ""
    assert call("--report-only", *options, "mesh/a.yaml").out.count("\n") == 1


def test_exclude(call, folder):
    write(folder, a=BAD, vendor__b=BAD, c__vendor__d=BAD)
    done = call("--exclude", "vendor/", "--select", RULE, "--format", "concise", "--quiet")
    assert done.out.count("\n") == 1


def test_the_configuration_is_found_from_the_first_path(call, folder):
    write(folder, sub__a=BAD)
    (folder / "sub/.meshlint.yaml").write_text(f"ignore: [{RULE}]\n")
    options = ("--format", "concise", "--quiet", "--fail-on", "error")
    assert RULE not in call("sub/a.yaml", *options).out
    assert RULE in call(".", *options).out
    assert RULE in call("sub", "--no-config", *options).out
    assert RULE not in call(".", "--config", "sub/.meshlint.yaml", *options).out


def test_peers_codes_select_rules(call, folder):
    write(folder, a=GOOD)
    assert call("--select", "IST0106", "--ignore", "IST0106").code == 0


@pytest.mark.parametrize(
    ("options", "env", "colored"),
    [
        ((), {}, False),
        (("--color", "always"), {}, True),
        (("--color", "always"), {"NO_COLOR": "1"}, True),
        ((), {"FORCE_COLOR": "1"}, True),
        ((), {"FORCE_COLOR": "0"}, False),
        ((), {"FORCE_COLOR": "1", "NO_COLOR": "1"}, False),
        (("--color", "never"), {"FORCE_COLOR": "1"}, False),
    ],
)
def test_color(call, folder, monkeypatch, options, env, colored):
    write(folder, a=BAD)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert ("\x1b[" in call("--select", RULE, *options).out) is colored


def test_report_files_have_no_color(call, folder):
    write(folder, a=BAD)
    call("--color", "always", "--output", "text=out.txt")
    assert "\x1b" not in (folder / "out.txt").read_text()


def test_a_reader_that_goes_away(folder):
    write(folder, **{f"a{n}": BAD.replace("default", f"n{n}") for n in range(800)})
    process = subprocess.Popen(
        [sys.executable, "-m", "meshlint", ".", "--select", RULE],
        cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    assert process.stdout.readline()
    process.stdout.close()
    assert process.wait(30) in (1, 141)
    assert process.stderr.read() == b""
    process.stderr.close()


def test_interruption(folder):
    """Ctrl-C while it waits for standard input."""
    process = subprocess.Popen(
        [sys.executable, "-m", "meshlint", "-"],
        cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(),
    )  # fmt: skip
    time.sleep(1.5)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.decode()) == (130, "\nmeshlint: interrupted\n")


def test_a_bug_shows_no_traceback(folder):
    write(folder, a=GOOD)
    (folder / "sitecustomize.py").write_text(
        "import meshlint.cached as c\ndef read(*a, **k): raise TypeError('boom')\nc.read = read\n"
    )
    done = meshlint(".", cwd=folder, PYTHONPATH=os.pathsep.join([str(folder), environment()["PYTHONPATH"]]))
    assert done.code == 2
    assert done.err.startswith("meshlint: internal error: TypeError: boom (read:2)\n")
    assert "Traceback" not in done.err


def test_nothing_from_the_linted_tree_is_run(folder):
    write(folder, a=GOOD)
    for name in ("yaml", "click", "meshlint"):
        (folder / f"{name}.py").write_text("raise SystemExit('this ran')\n")
    script = "from meshlint.__main__ import main; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", script],
        cwd=folder, capture_output=True, env=environment(), check=False, timeout=60,
    )  # fmt: skip
    assert b"this ran" not in done.stderr


def test_a_terminal_that_cannot_show_a_name(folder):
    write(folder, ä=BAD)
    done = meshlint(
        ".", "--select", RULE, "--format", "concise", cwd=folder, PYTHONIOENCODING="ascii", PYTHONUTF8="0"
    )
    assert done.code == 1
    assert done.out.startswith("\\xe4.yaml:9:3: error")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device")  # noqa: PTH110
def test_a_full_disk(folder):
    write(folder, a=BAD)
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        done = subprocess.run(
            [sys.executable, "-m", "meshlint", ".", "--quiet"],
            cwd=folder, stdout=full, stderr=subprocess.PIPE, env=environment(), check=False, timeout=60,
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (2, b"meshlint: error: output: No space left on device\n")


class TestCompleteHoldsForTheWholeOnly:
    """`complete` of the file is about its folder: of a part of it, absence says nothing."""

    NAMESPACE = (
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: shop, labels: {istio-injection: enabled}}\n"
    )
    ROUTE = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: cart, namespace: shop}\n"
        "spec:\n  hosts: [cart]\n  gateways: [nowhere]\n  http: [{route: [{destination: {host: cart}}]}]\n"
    )
    RULE = "vs-gateway-missing"

    @pytest.fixture(autouse=True)
    def tree(self, folder):
        write(folder, mesh__namespace=self.NAMESPACE, shop__route=self.ROUTE)
        (folder / ".meshlint.yaml").write_text("complete: true\n")

    @pytest.mark.parametrize("paths", [(), (".",), ("mesh", "shop", ".")])
    def test_the_whole(self, call, paths):
        done = call("lint", *paths, "--select", self.RULE)
        assert (done.code, "complete" in done.err) == (1, False)

    @pytest.mark.parametrize("paths", [("shop",), ("shop/route.yaml",), ("shop", "mesh")])
    def test_a_part(self, call, paths):
        done = call("lint", *paths, "--select", self.RULE)
        assert done.code == 0
        assert "'complete' of .meshlint.yaml is not in force: only a part of the folder is read" in done.err

    def test_the_command_line_has_the_last_word(self, call):
        assert call("lint", "shop", "--complete", "--select", self.RULE).code == 1

    def test_the_roots_of_the_file_are_the_whole(self, call, folder):
        (folder / ".meshlint.yaml").write_text("complete: true\nroots: [shop]\n")
        assert call("lint", "shop", "--select", self.RULE).code == 1

    def test_report_only_reads_the_whole(self, call):
        assert call("lint", "--report-only", "shop/route.yaml", "--select", self.RULE).code == 1

    def test_a_pipe_is_taken_at_its_word(self, folder):
        assert meshlint("-", "--select", self.RULE, cwd=folder, stdin=self.ROUTE).code == 1
