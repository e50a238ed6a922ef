"""The one resource: `GET /v1/interviews` of a workspace. A second resource gets a file like this one."""

from __future__ import annotations

import httpx

from etl.config import Api, Workspace
from etl.extract.client import Request, fetch, probe
from etl.extract.spool import Answer
from etl.meter import Meter
from etl.secret import Secret


def interviews_request(workspace: Workspace, key: Secret) -> Request:
    """The request for every interview of the workspace that its filters let through."""
    params = {"workspace_id": str(workspace.id)}
    if workspace.project_id is not None:
        params["project_id"] = str(workspace.project_id)
    if workspace.status is not None:
        params["status"] = workspace.status
    return Request("/v1/interviews", params, key, str(workspace.key_source), workspace.auth)


async def fetch_interviews(
    client: httpx.AsyncClient, workspace: Workspace, key: Secret, api: Api, meter: Meter
) -> Answer:
    """The workspace's answer, whole. Raises a SyncError where there is none."""
    return await fetch(client, interviews_request(workspace, key), api, meter)


async def probe_interviews(client: httpx.AsyncClient, workspace: Workspace, key: Secret, api: Api) -> None:
    """Ask once whether the key opens the workspace; raises the SyncError that a sync would meet."""
    await probe(client, interviews_request(workspace, key), api)
