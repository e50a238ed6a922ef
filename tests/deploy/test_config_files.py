"""The files under `config/` agree with the program and with one another.

Whether their own tools like them is for .ci/deploy-check.
"""

from __future__ import annotations

import json
import re
import shlex
from configparser import RawConfigParser
from pathlib import Path
from typing import Any

import click
import pytest
import yaml

from etl import __version__
from etl.cli.app import app
from etl.config import Settings, load_settings
from etl.config.settings import Run
from etl.daemon import daemon
from etl.schedule import parse_schedule
from tests.deploy import crontab, image_steps

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
FILES = sorted(path for path in CONFIG.rglob("*") if path.is_file())
UNITS = sorted((CONFIG / "systemd").glob("*.service"))
PORT = 8080
USER_ID = 10001
LONGEST_END_SECONDS = Run().grace_seconds + sum(
    (daemon._CANCEL_SECONDS, daemon._TELLING_SECONDS, daemon._SPARE_SECONDS)
)
PROGRAM = "/opt/ontora-etl/bin/ontora-etl"


def documents(name: str) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all((CONFIG / name).read_text()) if found]


def unit(path: Path) -> dict[str, list[str]]:
    """Every key of the [Service] section with its values."""
    found: dict[str, list[str]] = {}
    section = path.read_text().partition("[Service]\n")[2].partition("\n[")[0]
    for line in section.splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def check_words(words: list[str]) -> None:
    """The program would take these words: its options, a command, the command's own options."""
    with app.make_context("ontora-etl", list(words)) as context:
        name, command, rest = app.resolve_command(context, [*context._protected_args, *context.args])
    assert name
    assert command
    command.make_context(name, list(rest), parent=context)


def manifests() -> dict[str, dict[str, Any]]:
    names = (f"kubernetes/{name}.yaml" for name in ("configmap", "deployment", "cronjob"))
    return {document["kind"]: document for name in names for document in documents(name)}


def manifest(kind: str) -> dict[str, Any]:
    return manifests()[kind]


def deployment() -> dict[str, Any]:
    pod: dict[str, Any] = manifest("Deployment")["spec"]["template"]
    return pod


def cron_job() -> dict[str, Any]:
    pod: dict[str, Any] = manifest("CronJob")["spec"]["jobTemplate"]["spec"]["template"]
    return pod


def compose() -> dict[str, Any]:
    return documents("docker/compose.yaml")[0]


def settings_in(text: str, tmp_path: Path, **environ: str) -> Settings:
    file = tmp_path / "etl.toml"
    file.write_text(text)
    return load_settings(file, environ, require_keys=False)


# --- what is started is what the program offers ---


@pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)
def test_units_start_commands_that_exist(path: Path) -> None:
    (start,) = unit(path)["ExecStart"]
    program, *words = shlex.split(start)
    assert program == PROGRAM
    check_words(words)


@pytest.mark.parametrize("commented", [False, True])
def test_the_crontab_starts_commands_that_exist(commented: bool) -> None:
    jobs = list(crontab.jobs(commented=commented))
    assert jobs
    for schedule, command in jobs:
        parse_schedule(schedule)
        assert "%" not in command  # cron reads it as the end of the line
        match = re.search(rf"{PROGRAM}([^>|)]*?)(?: \d?>|\)|$)", command)
        assert match, command
        check_words(shlex.split(match[1]))
        assert "flock" not in command


def test_containers_start_commands_that_exist() -> None:
    dockerfile = dict(image_steps.instructions())
    entry = json.loads(dockerfile["ENTRYPOINT"])
    assert entry[0] == "ontora-etl"
    pods = [pod["spec"]["containers"][0]["args"] for pod in (deployment(), cron_job())]
    for words in (json.loads(dockerfile["CMD"]), *pods):
        check_words([*entry[1:], *words])


def test_the_alerts_name_commands_that_exist() -> None:
    text = "\n".join(path.read_text() for path in FILES if path.suffix in {".yaml", ".json", ".md"})
    commands = set(re.findall(r"`ontora-etl ([a-z]+[^`]*)`", text))
    assert commands
    for words in commands:
        check_words(shlex.split(re.sub(r"\{\{.*?\}\}", "acme", words)))


# --- ports, paths, times, users ---


def test_ports_and_addresses_agree() -> None:
    dockerfile = (CONFIG / "docker" / "Dockerfile").read_text()
    assert f"EXPOSE {PORT}" in dockerfile
    assert f"0.0.0.0:{PORT}" in dockerfile
    assert f"('127.0.0.1', {PORT}," in dockerfile
    assert compose()["services"]["etl"]["ports"] == [f"127.0.0.1:{PORT}:{PORT}"]
    container = deployment()["spec"]["containers"][0]
    assert [port["containerPort"] for port in container["ports"]] == [PORT]
    service = manifest("Service")
    assert [port["port"] for port in service["spec"]["ports"]] == [PORT]
    assert service["spec"]["selector"].items() <= deployment()["metadata"]["labels"].items()
    (job,) = documents("prometheus/prometheus.yaml")[0]["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"127.0.0.1:{PORT}"]


def test_the_health_check_of_compose_is_that_of_the_image() -> None:
    (given,) = [rest for word, rest in image_steps.instructions() if word == "HEALTHCHECK"]
    words = json.loads(given.partition("CMD ")[2])
    assert compose()["services"]["etl"]["healthcheck"]["test"] == ["CMD", *words]


def test_probes_ask_the_health_endpoints() -> None:
    container = deployment()["spec"]["containers"][0]
    wanted = {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert {name: container[name]["httpGet"]["path"] for name in wanted} == wanted


def test_everything_waits_longer_than_the_daemon_may_take_to_end() -> None:
    for path in UNITS:
        assert float(unit(path)["TimeoutStopSec"][0]) > LONGEST_END_SECONDS
    assert int(compose()["services"]["etl"]["stop_grace_period"].removesuffix("s")) > LONGEST_END_SECONDS
    for pod in (deployment(), cron_job()):
        assert pod["spec"]["terminationGracePeriodSeconds"] > LONGEST_END_SECONDS


def test_the_configuration_is_where_the_program_looks() -> None:
    place = "/etc/ontora-etl/etl.toml"
    for path in UNITS:
        assert f"ONTORA_ETL_CONFIG={place}" in unit(path)["Environment"]
    assert all(f"--config {place} " in command for _, command in crontab.jobs())
    assert f"ONTORA_ETL_CONFIG={place}" in (CONFIG / "docker" / "Dockerfile").read_text()
    assert compose()["services"]["etl"]["configs"] == [{"source": "etl", "target": place}]
    assert list(documents("kubernetes/configmap.yaml")[0]["data"]) == [Path(place).name]
    for pod in (deployment(), cron_job()):
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
        assert mounts["config"] == str(Path(place).parent)


def test_containers_run_as_the_user_of_the_image_and_write_nothing_else() -> None:
    dockerfile = dict(image_steps.instructions())
    assert dockerfile["USER"] == f"{USER_ID}:{USER_ID}"
    state = dockerfile["WORKDIR"]
    etl = compose()["services"]["etl"]
    assert (etl["user"], etl["read_only"], etl["cap_drop"]) == (dockerfile["USER"], True, ["ALL"])
    assert f"state:{state}" in etl["volumes"]
    for pod in (deployment(), cron_job()):
        assert pod["spec"]["securityContext"]["runAsUser"] == USER_ID
        (container,) = pod["spec"]["containers"]
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }
        writable = [mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")]
        assert writable == [state]


def test_images_carry_the_version() -> None:
    images = [compose()["services"]["etl"]["image"]]
    images += [pod["spec"]["containers"][0]["image"] for pod in (deployment(), cron_job())]
    assert {image.rpartition(":")[2] for image in images} == {__version__}
    assert f"ontora-etl:{__version__}" in (CONFIG / "README.md").read_text()


def test_both_units_are_hardened_alike() -> None:
    first, second = (unit(path) for path in UNITS)
    own = {"Type", "NotifyAccess", "ExecStart", "ExecReload", "WatchdogSec", "TimeoutStartSec", "KillMode"}
    own |= {"Restart", "RestartSec", "RestartPreventExitStatus"}
    for of_kind in (first, second):
        assert {"Type", "ExecStart"} <= of_kind.keys()
    assert {key: first[key] for key in first.keys() - own} == {
        key: second[key] for key in second.keys() - own
    }
    assert first["User"] == ["ontora-etl"]
    assert "u ontora-etl " in (CONFIG / "systemd" / "ontora-etl.sysusers").read_text()


# --- configurations and secrets ---


def test_the_configuration_of_compose_is_valid_and_its_secrets_are_mounted(tmp_path: Path) -> None:
    etl = compose()["services"]["etl"]
    environ = {name: value for name, value in etl["environment"].items() if name.startswith("ONTORA_")}
    settings = settings_in(compose()["configs"]["etl"]["content"], tmp_path, **environ)
    assert settings.warnings == ()
    assert settings.serve.listen == f"0.0.0.0:{PORT}"
    wanted = [workspace.key_source.where for workspace in settings.workspaces]
    assert {*wanted, etl["environment"]["PGPASSFILE"]} == {f"/run/secrets/{name}" for name in etl["secrets"]}
    given = {name for service in compose()["services"].values() for name in service["secrets"]}
    assert given == set(compose()["secrets"])
    assert all(Path(secret["file"]).parts[0] == "secrets" for secret in compose()["secrets"].values())
    assert "secrets/" in (CONFIG / "docker" / ".gitignore").read_text().splitlines()


def test_the_configuration_of_kubernetes_is_valid_and_its_secrets_are_mounted(tmp_path: Path) -> None:
    text = documents("kubernetes/configmap.yaml")[0]["data"]["etl.toml"]
    settings = settings_in(text, tmp_path, ONTORA_ETL_SERVE_TOKEN="x")
    assert settings.warnings == ()
    container = deployment()["spec"]["containers"][0]
    assert settings.serve.token_env in {variable["name"] for variable in container["env"]}
    for pod in (deployment(), cron_job()):
        mounts = {mount["name"]: mount["mountPath"] for mount in pod["spec"]["containers"][0]["volumeMounts"]}
        (keys,) = [volume["secret"] for volume in pod["spec"]["volumes"] if "secret" in volume]
        files = {f"{mounts['keys']}/{item['path']}" for item in keys["items"]}
        assert {workspace.key_source.where for workspace in settings.workspaces} == files
    head = (CONFIG / "kubernetes" / "configmap.yaml").read_text()
    line = next(line for line in (CONFIG / "README.md").read_text().splitlines() if "create secret" in line)
    for key in ("acme-api-key", "pgpassword", "serve-token"):
        assert key in head
        assert f"={key}=" in line


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(CONFIG)))
def test_no_file_holds_a_secret(path: Path) -> None:
    text = path.read_text()
    assert not re.search(r"ont_live_|whsec_|BEGIN [A-Z ]*PRIVATE|://[^/\s:@]+:[^/\s@]+@", text)
    named = r"(?im)(password|token|secret|api_key)\s*[:=]\s*[\"']?[A-Za-z0-9+/_-]{12,}[\"']?\s*$"
    assert not re.search(named, text)


def test_no_manifest_holds_a_secret() -> None:
    assert set(manifests()) == {"ConfigMap", "CronJob", "Deployment", "Service"}


# --- the whole ---


def test_the_readme_names_every_file() -> None:
    readme = (CONFIG / "README.md").read_text()
    hidden = {"README.md", ".gitignore", "Dockerfile.dockerignore"}
    assert [path.name for path in FILES if path.name not in hidden and path.stem not in readme] == []
    named = set(re.findall(r"config/([\w./-]+\w)", readme))
    absent = {name for name in named if not (CONFIG / name).exists()}
    assert absent <= {
        "systemd/ontora-etl-sync",
        "docker/secrets",
    }  # a pattern, and what the block there makes


def test_every_file_parses() -> None:
    for path in FILES:
        if path.suffix == ".yaml":
            assert list(yaml.safe_load_all(path.read_text()))
        if path.suffix == ".json":
            assert json.loads(path.read_text())
        if path.parent.name == "systemd" and path.suffix != ".sysusers":
            parser = RawConfigParser(strict=False, comment_prefixes=("#",))
            parser.read_string(path.read_text())
            assert {"Unit"} < set(parser.sections())


def test_words_that_the_program_does_not_know_are_found_out() -> None:
    for words in (["snyc"], ["sync", "--fast"], ["--verbose", "run"]):
        with pytest.raises(click.UsageError):
            check_words(words)
