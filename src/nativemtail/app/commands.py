"""The sub-commands, as a click group."""

from __future__ import annotations

import sys
from contextlib import closing
from typing import TYPE_CHECKING

import click

from nativemtail import __version__, gotext, options

if TYPE_CHECKING:
    from nativemtail._core import Metric, Profile
    from nativemtail.compiler import Program
    from nativemtail.compiler.divisible import Reason


@click.group()
@click.version_option(__version__)
def group() -> None:
    """Logs to metrics.  Without a command: `nativemtail -help`."""


@group.command()
@click.option("--markdown", is_flag=True, help="As the tables of the documentation.")
def flags(markdown: bool) -> None:
    """List the flags of `nativemtail`."""
    click.echo(options.markdown() if markdown else options.usage())


@group.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[FLAGS]")
def backfill(arguments: tuple[str, ...]) -> None:
    """Turn old logs into the series of a time-series database.

    Exit status: 0; 1 if something could not be read, or lines without a time were left out; 2 for wrong flags.
    """
    from nativemtail.app import message_files
    from nativemtail.app.config import ConfigError
    from nativemtail.app.ignore import BadIgnore
    from nativemtail.history import extras
    from nativemtail.io.patterns import BadSource
    from nativemtail.programs.loaded import LoadError

    try:
        flags, extra = options.parse(arguments, "backfill")
    except options.HelpRequested:
        click.echo(options.usage("backfill"))
        return
    except options.FlagError as error:
        raise click.UsageError(str(error)) from None
    if (problem := extras.missing()) is not None:
        raise click.ClickException(problem)
    message_files.configure(message_files.Settings(), message_files.Screen())
    from nativemtail.app.backfill import backfill as run

    try:
        if extra:
            raise ConfigError(f"backfill takes flags only, not {extra[0]}; logs are named by -logs")
        status = run(flags)
    except (ConfigError, LoadError, BadSource, BadIgnore) as error:
        raise click.ClickException(str(error)) from None
    sys.exit(status)


@group.command()
@click.argument("programs", nargs=-1, required=True, type=click.Path(exists=True), metavar="PROG...")
@click.option("--log", type=click.Path(exists=True, dir_okay=False), help="Measure them on this log.")
@click.option("--include_path", multiple=True, metavar="PATH", help="Where included files are looked for, too.")
def explain(programs: tuple[str, ...], log: str | None, include_path: tuple[str, ...]) -> None:
    """Show what each pattern of the programs costs, why, and what would make it cheaper."""
    from nativemtail.compiler import CompileError
    from nativemtail.compiler.divisible import compile_program
    from nativemtail.programs.directory import list_all, read_text
    from nativemtail.programs.loaded import cannot_compile
    from nativemtail.programs.metrics import make_metrics
    from nativemtail.telemetry.explain import division
    from nativemtail.telemetry.explain import explain as page

    loaded = []
    reasons: dict[str, list[Reason]] = {}
    found = list_all(programs)
    for message in (*found.errors, *found.clashes.values()):
        raise click.ClickException(message)
    for name, file in found.programs.items():
        try:
            text = read_text(file, include_path)
            program, reasons[name] = compile_program(name, text.source, included=text.included)
        except OSError as error:
            raise click.ClickException(gotext.explain(error, "open", file)) from None
        except Exception as error:
            raise click.ClickException(cannot_compile(name, error)) from None
        loaded.append((program, make_metrics(name, program.metrics)))
    if not loaded:
        raise click.ClickException("no programs there")
    try:
        click.echo(page(loaded, _measured(loaded, log) if log else None), nl=False)
        click.echo("\nIn a history (nativemtail backfill):\n" + division(reasons), nl=False)
    except CompileError as error:  # the patterns of one take too long
        raise click.ClickException(cannot_compile(error.program, error)) from None


def _measured(loaded: list[tuple[Program, list[Metric]]], log: str) -> Profile:
    from nativemtail._core import Engine, Plan, Store, TimeZone
    from nativemtail.compiler import plan
    from nativemtail.io.compressed import Corrupt
    from nativemtail.io.file import open_file
    from nativemtail.io.sources import Context, Settings
    from nativemtail.programs import zones

    store = Store()
    for metric in {id(metric): metric for _, metrics in loaded for metric in metrics}.values():
        store.add(metric)
    engine = Engine(store)
    engine.swap(Plan(plan.build(loaded), zone=TimeZone(zones.load(""))))
    context = Context(engine, Settings())
    try:
        with closing(open_file(context, context.hold(log), log, until_end=True)) as file:
            while file.turn():
                pass
    except (OSError, Corrupt) as error:
        raise click.ClickException(f"{log}: {error}") from None
    return engine.profile()


@group.command()
@click.argument("theirs", metavar="URL_OF_MTAIL")
@click.argument("ours", metavar="[URL_OF_OURS]", default="http://127.0.0.1:3903")
@click.option("--patience", default=5.0, show_default=True, help="Seconds to retry for while the two differ.")
@click.option("--limit", default=50, show_default=True, help="Differences to show at most; 0 shows all.")
def compare(theirs: str, ours: str, patience: float, limit: int) -> None:
    """Compare what a running mtail and a running nativemtail have counted.

    Both must read the same logs with the same programs.  OURS defaults to http://127.0.0.1:3903.  Intended differences
    are listed, but do not count.  Exit status: 0 if both are equal, 1 if they differ, 2 if one of them does not answer.
    """
    from nativemtail.app.compare import CompareError
    from nativemtail.app.compare import compare as run

    try:
        report = run(theirs, ours, patience)
    except CompareError as error:
        click.echo(error, err=True)
        sys.exit(2)
    shown = report.differences[: limit or None]
    for line in shown:
        click.echo(line)
    if len(shown) < len(report.differences):
        click.echo(f"and {len(report.differences) - len(shown)} more (--limit 0 shows all)")
    for line in report.known:
        click.echo(line)
    what = f"{report.metrics} metrics with {report.label_sets} label sets"
    equal = "equal but for what is known" if report.known else "equal"
    click.echo(f"{len(report.differences)} differences in {what}" if report.differences else f"{equal}: {what}")
    sys.exit(1 if report.differences else 0)


@group.group()
def state() -> None:
    """Show what is kept in a directory of `--state_dir`, or forget parts of it.

    Exit status: 0; 1 if the directory cannot be read, is in use (`forget`), or has nothing of what is named; 2 for
    wrong arguments.
    """


@state.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False), metavar="DIR")
def show(directory: str) -> None:
    """Show the logs with their offsets, the metrics with their series, and when they were saved.

    A process may hold DIR meanwhile.
    """
    from nativemtail.app import kept
    from nativemtail.state.lock import StateError

    try:
        click.echo(kept.show(directory), nl=False)
    except StateError as error:
        raise click.ClickException(str(error)) from None


@state.command()
@click.argument("directory", type=click.Path(exists=True, file_okay=False), metavar="DIR")
@click.option("--log", "logs", multiple=True, metavar="PATH", help="Its position: it is read from its beginning.")
@click.option("--program", "programs", multiple=True, metavar="NAME", help="Its metrics: they start afresh.")
def forget(directory: str, logs: tuple[str, ...], programs: tuple[str, ...]) -> None:
    """Forget the position of a log, or the metrics of a program such as `count.mtail`.

    Both may be repeated.  No process may hold DIR.  Either all that is named is forgotten, or nothing.
    """
    from nativemtail.app import kept
    from nativemtail.state.lock import StateError

    if not logs and not programs:
        raise click.UsageError("name what is to be forgotten: --log or --program")
    try:
        click.echo(kept.forget(directory, logs, programs), nl=False)
    except StateError as error:
        raise click.ClickException(str(error)) from None
