"""`schema`: the data dictionary, for people, for programs and for dbt."""

from __future__ import annotations

import click


@click.command("schema")
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "dbt", "json"]),
    default="markdown",
    show_default=True,
    help="dbt: a sources.yml with descriptions, tests and freshness.",
)
def command(form: str) -> None:
    """Print the data dictionary of tables, columns and views. Needs no configuration and no warehouse.

    \b
    Example:
      ontora-etl schema
      ontora-etl schema --format dbt > models/sources.yml
    """
    from etl import dictionary  # noqa: PLC0415
    from etl.cli.render import print_json  # noqa: PLC0415

    if form == "json":
        print_json(dictionary.as_json())
    elif form == "dbt":
        click.echo(dictionary.as_dbt(), nl=False)
    else:
        click.echo(dictionary.as_markdown(), nl=False)
