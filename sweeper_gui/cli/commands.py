"""What each command does: ask the engine, show what it says, return the exit code."""

import os
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import msgspec

from sweeper_gui.cli import documents, tables
from sweeper_gui.cli.codes import Code, Refusal, code_of
from sweeper_gui.cli.compare import Compared, compare
from sweeper_gui.cli.invocation import Invocation
from sweeper_gui.cli.names import names_from, read_names
from sweeper_gui.cli.output import plain
from sweeper_gui.cli.run import Session
from sweeper_gui.core.audit import HistoryFilter, PastSweep, Proposal
from sweeper_gui.core.outcome import Ending, Outcome, Report, Result, TrashItem, TrashState
from sweeper_gui.core.plan import Order, Plan
from sweeper_gui.core.plan import Request as SweepRequest
from sweeper_gui.core.units import counted, size_text
from sweeper_gui.core.verdict import Doubt, Status
from sweeper_gui.engine import messages
from sweeper_gui.storage.threads import started

if TYPE_CHECKING:
    from sweeper_gui.engine.heartbeat import Lateness
    from sweeper_gui.settings import Settings


# --- list -----------------------------------------------------------------------------------------------------------


def list_workspaces(run: Invocation, as_json: bool, measure: bool, compare_with: str | None) -> Code:
    """`sweeper list`."""
    settings = run.settings()
    lines = read_names(compare_with) if compare_with is not None else None
    with run.session(settings) as session:
        session.run(messages.Scan(measure=measure), messages.Done)
        if session.volume is None:
            raise Refusal(Code.FAILED, "the engine told nothing about the volume")
        compared = None if lines is None else _compare(lines, session, settings)
        if as_json:
            _list_as_json(run, session, compared)
        else:
            show_listing(run, session, compared)
        return Code.CANCELLED if session.cancelled else Code.DONE


def _compare(lines: Iterable[bytes], session: Session, settings: "Settings") -> tuple[Compared, ...]:
    assert session.volume is not None
    roots = [os.fsencode(session.volume.root)]
    if settings.volume.root is not None:
        roots.append(os.fsencode(settings.volume.root))
    return compare(lines, session.rows, roots, settings.rules(frozenset()))


def _list_as_json(run: Invocation, session: Session, compared: Sequence[Compared] | None) -> None:
    assert session.volume is not None
    rows = sorted(session.rows.values(), key=lambda row: row.name)
    document = documents.listing(rows, session.volume, session.registry)
    if compared is not None:
        document["compare"] = documents.comparison(compared)
    run.output.document(document)


def show_listing(run: Invocation, session: Session, compared: Sequence[Compared] | None = None) -> None:
    """The listing, or the comparison alone, with what there is to say about volume and registry."""
    output, now = run.output, time.time()
    assert session.volume is not None
    if compared is not None:
        output.result(tables.comparison(compared), _compared_line(compared))
    else:
        rows = tables.in_listing_order(session.rows.values())
        output.result(tables.volume_line(session.volume))
        if rows:
            output.result("", tables.listing(rows, now), "", tables.totals(rows))
    if session.registry is not None:
        output.result("", tables.registry_line(session.registry, now))
    _warn(run, session)


def _compared_line(compared: Sequence[Compared]) -> str:
    verdicts = [one.verdict for one in compared]
    return (
        f"\nOf {counted(len(verdicts), 'name')} Sweeper would keep {verdicts.count('keep')}, "
        f"set aside {verdicts.count('set-aside')} and remove {verdicts.count('remove')}."
    )


def _warn(run: Invocation, session: Session) -> None:
    """What can't be trusted, on standard error."""
    volume, registry = session.volume, session.registry
    for warning in volume.warnings if volume else ():
        run.output.warning(warning)
    if volume and not volume.error and not session.rows:
        run.output.warning(
            f"nothing lies in {volume.root}: is the volume mounted?",
            "Where it should be, require_mount = true refuses a root that is not on a mounted volume.",
        )
    if volume and volume.error:
        run.output.warning(f"the volume could not be listed: {volume.error}")
    if volume and (volume.unfinished or volume.expired):
        run.output.warning(
            f"in the trash: {volume.unfinished} unfinished, {volume.expired} expired",
            "See 'sweeper trash'; then 'sweeper resume' or 'sweeper purge'.",
        )
    if registry is None:
        return
    failed = {source.shown: source for source in registry.sources if source.error}
    for source in failed.values():
        run.output.warning(f"{source.shown}: {source.error}", source.hint)
    for problem in registry.problems:
        if not any(problem.startswith(f"{shown}: ") for shown in failed):
            run.output.warning(f"the registry can't be trusted: {problem}")


# --- sweep ----------------------------------------------------------------------------------------------------------


class SweepOptions(msgspec.Struct, frozen=True):
    """The options of `sweeper sweep`; None where the settings decide. `defer` is seconds."""

    names: tuple[str, ...] = ()
    cap: int | None = None
    max_bytes: int | None = None
    order: Order | None = None
    impact: str | None = None
    set_aside: bool = False
    remove_doubtful: bool = False
    allow_empty: bool = False
    plan: str = ""
    dry_run: bool = False
    yes: bool = False
    defer: float = 0.0
    as_json: bool = False
    ticket: str = ""


def sweep(run: Invocation, options: SweepOptions) -> Code:
    """`sweeper sweep`."""
    _check(options)
    settings = run.settings()
    if not options.dry_run:
        _check_words(settings, options)
        _require_consent(run, options.yes)
    request = _sweep_request(options, settings)
    _defer(run, options.defer)
    with run.session(settings) as session:
        planned = session.run(_planning(options, request), messages.Planned)
        plan = planned.plan.all_set_aside() if options.plan and options.set_aside else planned.plan
        ticket = _ticket(options, planned.proposal, settings)
        if session.cancelled:
            return Code.CANCELLED
        if not plan.chosen:
            return _nothing_to_sweep(run, session, plan, options)
        if not options.as_json or not (options.yes or options.dry_run):
            _show_plan(run, plan, planned.proposal, to_result=options.dry_run and not options.as_json)
        if not (options.yes or options.dry_run) and not _agreed(run, tables.plan_question(plan)):
            return Code.CANCELLED
        proposed = planned.proposal.digest if planned.proposal else ""
        sweep_it = messages.Sweep(plan, plan.digest, options.dry_run, options.impact, ticket, proposed)
        report = _with_refused(session.run(sweep_it, messages.Swept).report, plan)
        return _report(run, report, options.as_json, all_measured=_all_measured(session))


def _planning(options: SweepOptions, request: SweepRequest) -> messages.Prepare | messages.OpenPlan:
    return messages.OpenPlan(os.path.abspath(options.plan)) if options.plan else messages.Prepare(request)


def _check_words(settings: "Settings", options: SweepOptions) -> None:
    """What a person must have said before anything is opened; the ticket may be in the plan file, too."""
    if not options.plan or options.ticket:
        _check_ticket(settings, options.ticket)
    if settings.sweep.two_persons and not options.plan:
        raise Refusal(
            Code.USAGE,
            "only a plan that somebody else has proposed is swept here (two_persons)",
            "Propose with 'sweeper plan --out FILE', and let somebody else run 'sweeper sweep --plan FILE'.",
        )


def _ticket(options: SweepOptions, proposal: Proposal | None, settings: "Settings") -> str:
    proposed = proposal.ticket if proposal else ""
    if options.ticket and proposed and options.ticket != proposed:
        raise Refusal(Code.USAGE, f"the plan is for ticket {proposed}, not for {options.ticket}", "Look which it is.")
    if not options.dry_run:
        _check_ticket(settings, options.ticket or proposed)
    return options.ticket or proposed


def plan(run: Invocation, options: SweepOptions, out: str, force: bool) -> Code:
    """`sweeper plan`."""
    _check(options)
    settings = run.settings()
    if options.ticket:
        _check_ticket(settings, options.ticket)
    path = "" if out == "-" else os.path.abspath(out)
    if path and not force and _is_there(path):  # told before anybody waits; the engine looks too
        raise Refusal(Code.USAGE, f"{path} exists already", "Give another name, or --force.")
    with run.session(settings) as session:
        made = session.run(messages.Prepare(_sweep_request(options, settings)), messages.Planned).plan
        if session.cancelled:
            return Code.CANCELLED
        if not made.chosen:
            code = _nothing_to_sweep(run, session, made, options)
            run.output.notice("There is nothing to propose: no plan was written.")
            return code
        saved = session.run(messages.SavePlan(made, made.digest, path, options.ticket, force), messages.PlanSaved)
        _show_plan(run, made, None, to_result=bool(path))
        if path:
            run.output.result(plain(f"Written to {saved.path}: sweep it with 'sweeper sweep --plan'."))
        else:
            run.output.pieces((saved.content.decode(),))
    return Code.DONE


def _is_there(path: str) -> bool:
    """Whether something is there, as far as that is told within a second: it may lie on a volume that hangs."""
    found: list[bool] = []
    started(lambda: found.append(os.path.lexists(path)), "look").join(1.0)
    return found == [True]


def _check(options: SweepOptions) -> None:
    problem = None
    if options.remove_doubtful and not options.names:
        problem = "--remove-doubtful needs the names that it is meant for"
    elif options.allow_empty and not options.names:
        problem = "--allow-empty-registry needs the names that it is meant for"
    elif options.remove_doubtful and (options.set_aside or options.allow_empty):
        other = "--set-aside" if options.set_aside else "--allow-empty-registry, which only sets aside"
        problem = f"--remove-doubtful contradicts {other}"
    elif options.plan and _contradicts_plan(options):
        problem = f"--plan contradicts {_contradicts_plan(options)}: the plan says what is swept"
    if problem:
        raise Refusal(Code.USAGE, problem, "See 'sweeper sweep --help'.")


def _contradicts_plan(options: SweepOptions) -> str:
    given = {
        "NAME": options.names,
        "--max": options.cap,
        "--max-bytes": options.max_bytes,
        "--order": options.order,
        "--remove-doubtful": options.remove_doubtful,
        "--allow-empty-registry": options.allow_empty,
    }
    return next((name for name, value in given.items() if value), "")


def _sweep_request(options: SweepOptions, settings: "Settings") -> SweepRequest:
    names = names_from(options.names, settings.volume.root)
    by_default = settings.sweep
    return SweepRequest(
        names=names,
        cap=options.cap if names or options.cap is not None else by_default.max_per_sweep,
        max_bytes=options.max_bytes if names or options.max_bytes is not None else by_default.max_bytes,
        order=options.order or by_default.order,
        set_aside=options.set_aside or (by_default.remove == "set-aside" and not options.remove_doubtful),
        remove_doubtful=options.remove_doubtful,
        allow_empty=options.allow_empty,
    )


def _check_ticket(settings: "Settings", ticket: str) -> None:
    """The engine does too; here it is before anybody waits or is asked."""
    problem = settings.ticket_rule.problem(ticket)
    if problem:
        raise Refusal(Code.USAGE, problem, "Give it with --ticket.")


def _require_consent(run: Invocation, yes: bool) -> None:
    """Refuses before anything is opened where nobody could be asked."""
    if not yes and not run.output.interactive:
        raise Refusal(
            Code.USAGE,
            "this would change the volume, and there is no terminal to ask on",
            "Look at it with 'sweeper list' or --dry-run, then add --yes.",
        )


def _defer(run: Invocation, seconds: float) -> None:
    """Waits, holding nothing: neither the lock nor the volume nor the registry. A signal ends the command at once."""
    if seconds <= 0:
        return
    with run.signals.leaving():
        run.output.notice(f"waiting {seconds:g} s before the sweep begins")
        run.output.count_down(seconds)


def _nothing_to_sweep(run: Invocation, session: Session, plan: Plan, options: SweepOptions) -> Code:
    problem, hint = _distrust(session)
    if not problem:
        _warn(run, session)
    report = Report(
        "",
        (),
        Ending.STOPPED if problem else Ending.DONE,
        problem,
        remaining_orphans=plan.remaining_orphans,
        dry_run=options.dry_run,
    )
    code = _report(run, _with_refused(report, plan), options.as_json, hint)
    if plan.candidates and plan.max_bytes is not None:
        smallest = min(candidate.usage.allocated for candidate in plan.candidates)
        run.output.warning(f"no orphan fits into {size_text(plan.max_bytes)}: the smallest has {size_text(smallest)}")
    return code


def _distrust(session: Session) -> tuple[str, str]:
    """Why the registry can't be trusted, and what to do; empty where it can."""
    registry = session.registry
    if registry is None or registry.trusted:
        return "", ""
    hint = next((source.hint for source in registry.sources if source.error), "'sweeper doctor' says more.")
    return next(iter(registry.problems), "the registry can't be trusted"), hint


def _show_plan(run: Invocation, plan: Plan, proposal: Proposal | None, to_result: bool) -> None:
    show = run.output.result if to_result else run.output.notice
    blind = "Who uses a workspace on another host, or as another user, can't be seen from here."
    parts = tables.plan_parts(plan, time.time())
    if proposal is not None:
        parts = [tables.proposal_line(proposal, time.time()), "", *parts]
    show(*parts, "", plain(blind, style="dim"), "")


def _with_refused(report: Report, plan: Plan) -> Report:
    """The report with a skipped outcome for each name that was asked for and not planned."""
    told = {outcome.name for outcome in report.outcomes}
    refused = tuple(
        Outcome(refused.name, Result.SKIPPED, refused.reason) for refused in plan.refused if refused.name not in told
    )
    return msgspec.structs.replace(report, outcomes=report.outcomes + refused)


def _agreed(run: Invocation, question: str) -> bool:
    with run.signals.leaving():
        if run.output.ask(question):
            return True
    run.output.notice("Nothing was changed.")
    return False


def _all_measured(session: Session) -> bool:
    return not any(row.status is Status.UNMEASURED and row.usage is None for row in session.rows.values())


def _report(run: Invocation, report: Report, as_json: bool, hint: str = "", *, all_measured: bool = True) -> Code:
    if as_json:
        run.output.document(documents.report(report))
    else:
        run.output.result(*tables.report_parts(report, all_measured=all_measured))
    if report.problem:
        run.output.warning(report.problem, hint)
    for note in report.notes:
        run.output.warning(note)
    return code_of(report)


# --- trash ----------------------------------------------------------------------------------------------------------


def trash(run: Invocation, as_json: bool) -> Code:
    """`sweeper trash`."""
    with run.session(run.settings()) as session:
        found = session.run(messages.ListTrash(), messages.Trash)
        if as_json:
            run.output.document(documents.trash(found))
        else:
            run.output.result(*tables.trash_parts(found, time.time()))
    return Code.DONE


def restore(run: Invocation, names: Sequence[str], ticket: str, as_json: bool) -> Code:
    """`sweeper restore`."""
    settings = run.settings()
    _check_ticket(settings, ticket)
    wanted = names_from(names, settings.volume.root)
    with run.session(settings) as session:
        swept = session.run(messages.Restore(wanted, ticket=ticket), messages.Swept)
        return _report(run, swept.report, as_json)


def purge(
    run: Invocation, names: Sequence[str], older_than: float | None, yes: bool, ticket: str, as_json: bool
) -> Code:
    """`sweeper purge`."""
    if names and older_than is not None:
        raise Refusal(Code.USAGE, "give either names or --older-than, not both")
    settings = run.settings()
    _check_ticket(settings, ticket)
    wanted = names_from(names, settings.volume.root)
    _require_consent(run, yes)
    with run.session(settings) as session:
        age = None if wanted else older_than or 0.0
        request = messages.Purge(wanted, age, ticket=ticket)
        if not yes:
            items = _purgeable(session.run(messages.ListTrash(), messages.Trash).items, wanted, age)
            if not _confirmed(run, items, "Remove {} for good?"):
                return Code.CANCELLED if items else Code.DONE
            request = messages.Purge(wanted, age, tuple((item.sweep_id, item.number) for item in items), ticket)
        return _report(run, session.run(request, messages.Swept).report, as_json)


def _purgeable(items: Iterable[TrashItem], names: tuple[bytes, ...], older_than: float | None) -> list[TrashItem]:
    """What the engine would remove: without names nothing that holds unsaved work."""
    whole = [item for item in items if item.state is TrashState.WHOLE]
    if names:
        return [item for item in whole if item.name in names]
    before = time.time() - (older_than or 0.0)
    return [item for item in whole if item.set_aside_at <= before and Doubt.UNSAVED_WORK not in item.doubts]


def resume(run: Invocation, yes: bool, ticket: str, as_json: bool) -> Code:
    """`sweeper resume`."""
    settings = run.settings()
    _check_ticket(settings, ticket)
    _require_consent(run, yes)
    with run.session(settings) as session:
        request = messages.Resume(ticket)
        if not yes:
            found = session.run(messages.ListTrash(), messages.Trash).items
            items = [item for item in found if item.unfinished or item.state is TrashState.REMOVING]
            if not _confirmed(run, items, "Finish {}?"):
                return Code.CANCELLED if items else Code.DONE
            request = messages.Resume(ticket, tuple((item.sweep_id, item.number) for item in items))
        swept = session.run(request, messages.Swept)
        return _report(run, swept.report, as_json)


def _confirmed(run: Invocation, items: Sequence[TrashItem], question: str) -> bool:
    if not items:
        run.output.notice("There is nothing to do.")
        return False
    run.output.notice(*tables.trash_parts(messages.Trash(tuple(items), "the trash"), time.time()), "")
    size = size_text(sum(item.allocated for item in items))
    return _agreed(run, question.format(f"{counted(len(items), 'workspace')} ({size})"))


# --- the rest -------------------------------------------------------------------------------------------------------


def history(
    run: Invocation, names: Sequence[str], sweep_id: str, since: float | None, ticket: str, as_json: bool
) -> Code:
    """`sweeper history`."""
    settings = run.settings()
    wanted = HistoryFilter(names_from(names, settings.volume.root), since, ticket, sweep_id)
    with run.session(settings) as session:
        sweeps = _past_sweeps(run, session, wanted)
        if as_json:
            run.output.pieces(documents.history(sweeps))
        elif names or sweep_id:
            run.output.result(*(part for sweep in sweeps for part in tables.past_sweep_parts(sweep)))
        else:
            run.output.result(*tables.history_parts(sweeps))
    return Code.DONE


def _past_sweeps(run: Invocation, session: Session, wanted: HistoryFilter) -> Iterator[PastSweep]:
    """Page after page: there may be years of them. The first one is there before anything is shown."""
    page = session.run(messages.ReadHistory(wanted), messages.History)
    if page.problem:
        run.output.warning(page.problem, "what this host's own logs tell is shown")

    def all_pages() -> Iterator[PastSweep]:
        history = page
        yield from history.sweeps
        while history.more:
            history = session.run(messages.ReadHistory(wanted, history.more), messages.History)
            yield from history.sweeps

    return all_pages()


def bind(run: Invocation) -> Code:
    """`sweeper bind`."""
    with run.session(run.settings()) as session:
        run.output.result(plain(session.run(messages.Bind(), messages.Message).text))
    return Code.DONE


def doctor(run: Invocation, as_json: bool) -> Code:
    """`sweeper doctor`: settings that can't be used are its only findings then, and exit with 2."""
    from sweeper_gui.engine.heartbeat import lateness_check, measured_beside  # asyncio: nothing else here needs it
    from sweeper_gui.settings import SettingsError

    try:
        settings = run.load_settings()
    except SettingsError as error:
        checks = tuple(messages.Check(f"settings: {problem.key}", "error", str(problem)) for problem in error.problems)
        _show_checks(run, checks, as_json)
        return Code.USAGE
    with run.session(settings) as session:
        diagnosis, late = measured_beside(lambda: session.run(messages.Diagnose(), messages.Diagnosis))
    whose = "an event loop on this host, while the engine looked at the volume,"
    checks = (*diagnosis.checks, lateness_check(late, "responsiveness", whose))
    _show_checks(run, checks, as_json, late)
    return Code.UNTRUSTED if any(check.state == "error" for check in checks) else Code.DONE


def _show_checks(
    run: Invocation, checks: Sequence[messages.Check], as_json: bool, late: "Lateness | None" = None
) -> None:
    if as_json:
        run.output.document(documents.diagnosis(checks, late))
    else:
        run.output.result(tables.diagnosis(checks))
