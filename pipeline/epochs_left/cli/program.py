"""The program: runs a command and turns what went wrong into one line and an exit code."""

from __future__ import annotations

import os
import traceback

import typer

from epochs_left.cli import (
    INTERRUPTED,
    INTERRUPTED_TEXT,
    backtest,
    explain,
    models,
    predict,
    report,
    validate,
    watch,
)
from epochs_left.cli.messages import leave_stdout, say
from epochs_left.errors import EpochsLeftError, UsageError

INTERNAL = 1
#: Set to anything, it shows where an unexpected error comes from.
TRACEBACK_VARIABLE = "EPOCHS_LEFT_TRACEBACK"

#: click's base of usage errors; some versions of typer bring a click of their own.
_CLICK_ERROR: type[Exception] = next(
    kind
    for kind in typer.BadParameter.__mro__
    if issubclass(kind, Exception) and kind.__name__ == "ClickException"
)

app = typer.Typer(
    name="epochs-left",
    help="How many epochs until a training run converges, how sure is that, and will it at all?",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("predict", help=predict.HELP, epilog=predict.EXAMPLES)(predict.predict)
app.command("explain", help=explain.HELP, epilog=explain.EXAMPLES)(explain.explain)
app.command("backtest", help=backtest.HELP, epilog=backtest.EXAMPLES)(backtest.backtest)
app.command("watch", help=watch.HELP, epilog=watch.EXAMPLES)(watch.watch)
app.command("validate", help=validate.HELP, epilog=validate.EXAMPLES)(validate.validate)
app.command("report", help=report.HELP, epilog=report.EXAMPLES)(report.report)
app.add_typer(models.app, name="models")


def _print_version(wanted: bool) -> None:
    if wanted:
        from epochs_left import __version__  # noqa: PLC0415

        typer.echo(f"epochs-left {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: bool = typer.Option(
        False, "--version", callback=_print_version, is_eager=True, help="Show the version."
    ),
) -> None:
    del version


def run(arguments: list[str]) -> int:
    """Run a command line and return its exit code; see `epochs_left.cli.main`."""
    try:
        return _run(arguments)
    finally:
        leave_stdout()


def _run(arguments: list[str]) -> int:
    try:
        code = app(args=arguments, standalone_mode=False, prog_name="epochs-left")
    except EpochsLeftError as error:
        say("error", str(error))
        return error.exit_code
    except _CLICK_ERROR as error:
        return _misused(error)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    except Exception as error:
        return _broken(error)
    if code == INTERRUPTED:  # some versions of typer return it, others raise
        say("error", INTERRUPTED_TEXT)
    return code if isinstance(code, int) else 0


def _misused(error: Exception) -> int:
    """Say what click found wrong with the arguments; without any, it has shown the help."""
    message = getattr(error, "format_message", error.__str__)()
    if not message:
        return UsageError.exit_code
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "epochs-left"
    say("error", f"{message.rstrip('.')}; see {command} --help")
    return UsageError.exit_code


def _broken(error: Exception) -> int:
    if os.environ.get(TRACEBACK_VARIABLE):
        traceback.print_exc()
    say(
        "error",
        f"unexpected {type(error).__name__}: {error}; this is a bug: please report it, with what "
        f"{TRACEBACK_VARIABLE}=1 shows",
    )
    return INTERNAL
