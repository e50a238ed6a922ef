"""`init`: a commented configuration to start from."""

from __future__ import annotations

from pathlib import Path

import click

from etl.errors import UsageError


@click.command("init")
@click.argument("path", type=click.Path(path_type=Path), default=Path("config/etl.toml"))
def command(path: Path) -> None:
    """Write a commented configuration to PATH (config/etl.toml); never overwrites.

    \b
    Example:
      ontora-etl init
    """
    from etl.config.document import template_text  # noqa: PLC0415

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(template_text())
    except OSError as error:
        if isinstance(error, FileExistsError) and path.exists():  # else a file is where its folder should be
            raise UsageError(
                f"{path} exists and is left as it is", remedy="edit it, or name another path"
            ) from None
        raise UsageError(f"cannot write {path} ({error.strerror})", remedy="name another path") from None
    click.echo(f"wrote {path}")
    click.echo("next: fill in your workspaces, export their keys, then run: ontora-etl check")
