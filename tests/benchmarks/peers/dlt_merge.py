"""The same with dlt: one resource, merged by upsert, all settings as they come."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import dlt  # type: ignore[import-not-found]  # lives in an environment of its own
import httpx


@dlt.resource(  # type: ignore[untyped-decorator]
    name="interviews",
    primary_key="id",
    write_disposition={"disposition": "merge", "strategy": "upsert"},
    max_table_nesting=0,
    columns={"weekly_availability": {"data_type": "json"}},
)
def interviews() -> Iterator[list[dict[str, Any]]]:
    """Every interview of the workspace."""
    response = httpx.get(
        os.environ["BENCH_ADDRESS"], headers={"X-API-Key": os.environ["BENCH_KEY"]}, timeout=600
    )
    response.raise_for_status()
    yield response.json()


def main() -> None:
    """Run the pipeline; what it remembers lies in the folder of this comparison."""
    pipeline = dlt.pipeline(
        "ontora",
        pipelines_dir=os.environ["BENCH_STATE"],
        destination=dlt.destinations.postgres(os.environ["BENCH_DATABASE"]),
        dataset_name="ontora",
    )
    pipeline.run(interviews())


if __name__ == "__main__":
    main()
