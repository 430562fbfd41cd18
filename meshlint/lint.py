"""The pipeline as one function: what is wrong with these manifests? (design section 3)

load -> resources -> mesh -> rules -> findings -> suppress -> Report. The command line, the tests and
editors call the same functions.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from meshlint.config import Config
from meshlint.config_file import check_names
from meshlint.findings import (
    CONFIDENCES,
    Draft,
    Finding,
    Linted,
    Location,
    Report,
    RunError,
    Skipped,
    resolve,
)
from meshlint.mesh.mesh import Mesh
from meshlint.mesh.scope import Settings
from meshlint.overlays import said_once, weighed
from meshlint.policy.index import built_in_rules
from meshlint.policy.names import Names
from meshlint.policy.rules import Rule, RuleError, load_rule
from meshlint.policy.run import run
from meshlint.policy.select import Selection
from meshlint.resources import Resource, resources_in
from meshlint.source.changes import Reading
from meshlint.source.load import Loaded, load
from meshlint.source.read import without_garbage_collection
from meshlint.suppress import Suppressor

#: called with what is being done and how far it is: (step, done, total)
Progress = Callable[[str, int, int], None]


def lint(
    inputs: Sequence[str],
    config: Config | None = None,
    *,
    rules: Mapping[str, Rule] | None = None,
    stdin: bytes | None = None,
    report_only: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Linted:
    """Lint files, folders, globs and `-`; `rules` are those of `rules_of`, where they are known already.

    Raises RuleError and ConfigError when a rule file or the configuration cannot be used.
    """
    config = config or Config()
    rules = rules if rules is not None else rules_of(config)
    if progress:
        progress("reading", 0, 1)
    with without_garbage_collection():
        loaded = load(inputs, stdin=stdin, exclude=config.exclude, root=config.root)
        return lint_loaded(loaded, config, rules, report_only=report_only, progress=progress)


def lint_loaded(
    loaded: Loaded,
    config: Config,
    rules: Mapping[str, Rule],
    *,
    report_only: Iterable[str] | None = None,
    progress: Progress | None = None,
) -> Linted:
    """Lint what is read already."""
    names = Names(rules)
    selection = Selection.of(config, rules, names)
    resources = resources_in(loaded.files, config.default_namespace, Reading.WRITTEN)
    suppressor = Suppressor(loaded.files, resources, names, config)
    # what suppresses a finding that is not shown is of use too
    wanted = CONFIDENCES if suppressor.entries else selection.confidences
    found, errors = _found(loaded, config, resources, selection.rules, wanted, progress)
    findings = suppressor.apply(found)
    ran = selection.names - {error.rule for error in errors}
    findings.extend(_own_findings(suppressor, selection, ran))
    findings = [shown for f in findings if (shown := selection.shown(f)) is not None]
    findings = said_once(findings, {file.path for file in loaded.files if len(file.builds) > 1})
    if report_only is not None:
        findings = _only(findings, report_only)
    report = Report(
        findings=sorted(findings, key=lambda finding: finding.sort_key),
        errors=[
            *(RunError(message, file) for file, message in loaded.errors),
            *errors,
        ],
        skipped=[Skipped(file.path, file.skipped) for file in loaded.files if file.skipped],
        files=len(loaded.files),
        documents=sum(len(file.documents) for file in loaded.files),
        resources=len({(resource.file.path, resource.root.start) for resource in resources}),
        rules={rule.name: rule.info for rule in selection.rules},
    )
    texts = {file.path: file.text for file in loaded.files}
    return Linted(report, texts.get)


def _found(
    loaded: Loaded,
    config: Config,
    resources: Sequence[Resource],
    rules: Sequence[Rule],
    wanted: Collection[str],
    progress: Progress | None,
) -> tuple[list[Finding], list[RunError]]:
    """What the rules find; where kustomizations change objects, what they find in every reading of that.

    `resources` are those that are written.
    """

    def found(mesh: Mesh, rules: Iterable[Rule]) -> tuple[list[Finding], list[RunError]]:
        mesh.suspicions = "low" in wanted
        ran = run(rules, mesh, config.options, progress, holds=mesh.holds, confidences=wanted)
        return ran[0], [*ran[1], *_schema_errors(mesh, config)]

    if not any(file.changes or file.renamed for file in loaded.files):
        return found(_mesh(loaded, config, resources), rules)
    every, errors = [], list[RunError]()
    for reading in (Reading.OPEN, Reading.MADE, Reading.WRITTEN):
        findings, more = found(mesh_of(loaded, config, reading), rules)
        errors += (error for error in more if error not in errors)
        every.append(findings)
        if "low" not in wanted:
            names = {finding.rule for finding in findings}
            rules = [rule for rule in rules if rule.name in names]
        if not rules:
            return [], errors
    return weighed(every.pop(), every, wanted), errors


def mesh_of(loaded: Loaded, config: Config, reading: Reading = Reading.OPEN) -> Mesh:
    """The model of everything that was read; unless said otherwise, what kustomizations change is unknown."""
    return _mesh(loaded, config, resources_in(loaded.files, config.default_namespace, reading))


def _mesh(loaded: Loaded, config: Config, resources: Sequence[Resource]) -> Mesh:
    crds = tuple(path for pattern in config.crds for path in config.matches(pattern))
    settings = replace(
        _closed(loaded, config.settings, resources),
        may_exist=loaded.may_exist,
        remainder=loaded.remainder,
        crds=crds,
    )
    return Mesh(resources, settings, loaded.files)


def _closed(loaded: Loaded, settings: Settings, resources: Iterable[Resource]) -> Settings:
    """Namespaces in which builds rename objects, or add some that are not in the input, are not complete."""
    open_ = {*loaded.unbuilt, *(resource.ns for resource in resources if resource.file.renamed)}
    if not open_:
        return settings
    closed = set(settings.complete_namespaces)
    if settings.complete:
        closed |= {resource.ns for resource in resources}
    return replace(
        settings,
        complete=False,
        complete_namespaces=frozenset() if None in open_ else frozenset(closed - open_),
    )


def rules_of(config: Config) -> dict[str, Rule]:
    """The built-in rules and those of the user; everything else in the configuration must name one."""
    rules = built_in_rules()
    for pattern in config.rule_files:
        paths = config.matches(pattern)
        if not paths:
            raise RuleError(f"{config.origin('rules')}: no rule file matches {pattern!r}")
        for path in paths:
            rule = load_rule(path)
            if rule.name in rules:
                raise RuleError(f"{path}: there is a rule named {rule.name!r} already")
            rules[rule.name] = rule
    check_names(config, rules, Names(rules))
    return rules


def _schema_errors(mesh: Mesh, config: Config) -> Iterator[RunError]:
    """Definitions that the configuration names and that cannot be used."""
    for pattern in config.crds:
        if not config.matches(pattern):
            yield RunError(f"{config.origin('crds')}: no file matches {pattern!r}")
    if config.crds:
        yield from (RunError(problem) for problem in mesh.schemas.problems)


def _own_findings(suppressor: Suppressor, selection: Selection, ran: frozenset[str]) -> list[Finding]:
    """Findings about suppressions themselves; they can be suppressed too, by a comment in the file."""
    speakers: dict[str, Callable[[], Iterable[Draft]]] = {
        "unused-suppression": lambda: suppressor.unused(ran),
        "unknown-rule": suppressor.unknown,
        "suppressions": suppressor.unexplained,
    }
    found = []
    for rule in selection.rules:
        speaker = speakers.get(rule.check.get("builtin", ""))
        if speaker is not None:
            found += [resolve(draft, rule.info) for draft in speaker()]
    return suppressor.apply(found)


def _only(findings: list[Finding], paths: Iterable[str]) -> list[Finding]:
    """Findings whose primary or a related location is in one of the paths (spec ecosystem d.1)."""
    files = frozenset(paths)
    folders = tuple(f"{path.rstrip('/')}/" for path in files)

    def named(location: Location) -> bool:
        return location.file in files or location.file.startswith(folders)

    return [f for f in findings if named(f.location) or any(named(r.location) for r in f.related)]
