"""The command line as a whole: global options, the commands by name, errors → one line and an exit code."""

from __future__ import annotations

import os
import signal
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from msgspec import Struct

from etl import __version__
from etl.cli.streams import leave
from etl.errors import ConfigError, EtlError

if TYPE_CHECKING:
    from etl.config import Settings

# Shown in this order: the order in which a newcomer meets them.
_COMMANDS = {
    "demo": "Run the main job with no account, against a stand-in API.",
    "init": "Write a commented configuration.",
    "check": "Test configuration, warehouse, schema and keys.",
    "sync": "Sync once: the cron job.",
    "run": "Sync on schedule: the daemon.",
    "status": "Show how fresh each workspace is.",
    "runs": "Show the run ledger.",
    "rejects": "Show rows that could not be loaded.",
    "migrate": "Bring the warehouse schema to head.",
    "schema": "Print the data dictionary.",
}


class Context(Struct):
    """The global options, as the commands get them."""

    config: Path | None
    log_format: str
    log_level: str | None

    def start_logging(self, default_level: str = "warning") -> None:
        """Logs to stderr, in the chosen form."""
        from etl.cli.logs import start_logging  # noqa: PLC0415

        start_logging(self.log_format, self.log_level or default_level)

    def settings(self, *, require_keys: bool = True) -> Settings:
        """The configuration. Raises ConfigError."""
        from etl.config import find_config, load_settings  # noqa: PLC0415

        settings = load_settings(find_config(self.config, os.environ), os.environ, require_keys=require_keys)
        for warning in settings.warnings:
            self.tell("warning", warning)
        return settings

    def tell(self, level: str, message: str) -> None:
        """A line on stderr that begins with its level; see `say`."""
        self.say(level, message, f"{level}: {message}")

    def say(self, level: str, message: str, text: str = "") -> None:
        """A line on stderr, in the form of the logs for machines: whatever the log's level, it is said."""
        line = text or message
        if self.log_format == "json":
            from etl.cli.logs import json_line  # noqa: PLC0415

            line = json_line(level, message)
        click.echo(line, err=True)


class _Commands(click.Group):
    """The commands, imported only when called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _COMMANDS:
            return None
        command: click.Command = import_module(f"etl.cli.{cmd_name}").command
        return command

    def invoke(self, ctx: click.Context) -> Any:  # the command's answer, as click says it
        try:
            return super().invoke(ctx)
        except EtlError as error:
            for line in error.faults if isinstance(error, ConfigError) else [str(error)]:
                ctx.obj.tell("error", line)
            return error.exit_code

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


@click.command(
    cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="ontora-etl", message="%(prog)s %(version)s")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Configuration file  [default: $ONTORA_ETL_CONFIG, config/etl.toml, etl.toml]",
)
@click.option("--log-format", type=click.Choice(["text", "json"]), default="text", show_default=True)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error"], case_sensitive=False),
    help="[default: info for run, else warning]",
)
@click.pass_context
def app(ctx: click.Context, config: Path | None, log_format: str, log_level: str | None) -> None:
    """Ontora's interviews in your SQL warehouse: whole, current, with their history.

    \b
    Example:
      ontora-etl init && ontora-etl check && ontora-etl sync
    """
    ctx.obj = Context(config, log_format, log_level)


def run_command_line() -> NoReturn:
    """Run `sys.argv`; exit with 0 to 3 as documented, or with 128 plus the signal that stopped us."""
    try:
        code = app.main(prog_name="ontora-etl", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = 2
    except (click.Abort, KeyboardInterrupt):
        code = 128 + signal.SIGINT
    leave(code if isinstance(code, int) else 0)
