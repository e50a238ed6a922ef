"""Each fault names file and key, all are told at once, and none repeats a secret."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from etl.errors import ConfigError
from tests.config.loading import ID, KEY, OTHER_ID, WORKSPACE, faults, load


def _case(number_and_name: str, text: str, expected: str) -> object:
    return pytest.param(text, expected, id=f"reliability-{number_and_name}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        _case(
            "40-unknown-key",
            "[api]\ntimeout_secs = 3",
            "[api] timeout_secs: unknown key; did you mean timeout_seconds?",
        ),
        _case("40-astray-key", "[api]\nschedule = 3", "[api] schedule: unknown key; it belongs in [sync]"),
        _case("40-unknown-section", "[apis]\nx = 3", "[apis]: unknown section; did you mean api?"),
        _case("40-top-level", "timeout_seconds = 3", "timeout_seconds: unknown key; it belongs in [api]"),
        _case("40-key-with-line-break", '[api]\n"a\\nb" = 3', '[api] "a?b": unknown key'),
        _case("41-secret-as-key", f"[api]\n{KEY} = 1", "[api] (hidden: it looks like a secret): unknown key"),
        _case("41-secret-as-section", f"[{KEY}]", "[(hidden: it looks like a secret)]: unknown section"),
        _case("41-secret-twice", f"{KEY} = 1\n{KEY} = 2", "is not TOML: "),
        _case("41-secret-as-section-twice", f"[{KEY}]\n[{KEY}]", "Cannot declare ((hidden: it looks"),
        *(
            _case(
                f"40-host-{host}", f'[api]\nbase_url = "https://{host}"', "base_url: names a host that cannot"
            )
            for host in (
                "api..test",
                "ü..de",
                "☃.test",
                "xn--zzzz.test",
                "999.999.999.999",
                "a" * 64 + ".test",
            )
        ),
        _case(
            "40-long-address",
            f'[api]\nbase_url = "https://api.test/{"a" * 2000}"',
            "base_url: must be at most 2000",
        ),
        *(
            _case(
                f"40-warehouse-{rest}", f'[warehouse]\nurl = "postgresql://{rest}"', "url: names a host that"
            )
            for rest in ("u:p@db..test/d", "ü..de/d", "a" * 64 + "/d", "u@/d?host=a,b..c")
        ),
        _case("40-section-is-list", "[[api]]", "[api]: must be one table, written [api], not a list"),
        _case("40-text-for-number", '[api]\ntimeout_seconds = "30"', "must be a number, not text"),
        _case("40-bool-for-number", "[api]\ntimeout_seconds = true", "must be a number, not true or false"),
        _case("40-float", "[api]\nmax_attempts = 5.0", "must be a whole number, not a number with a point"),
        _case("40-bool-for-int", "[api]\nmax_attempts = true", "must be a whole number, not true or false"),
        _case("40-date-for-int", "[api]\nmax_attempts = 1979-05-27", "not a date or time"),
        _case("40-int-for-text", "[api]\nbase_url = 3", "must be text in quotes, not a whole number"),
        _case("40-int-for-bool", "[sync]\nhistory = 1", "must be true or false, not a whole number"),
        _case("40-zero-timeout", "[api]\ntimeout_seconds = 0", "must be above 0 and at most 3600, not 0"),
        _case("40-negative-timeout", "[api]\ntimeout_seconds = -1", "not -1"),
        _case("40-nan", "[api]\ntimeout_seconds = nan", "not nan"),
        _case("40-infinity", "[api]\ndeadline_seconds = inf", "not a number that far off"),
        _case("40-no-attempts", "[api]\nmax_attempts = 0", "must be from 1 to 100, not 0"),
        _case("40-too-many-attempts", "[api]\nmax_attempts = 101", "not 101"),
        _case("40-absurd-integer", f"[api]\nmax_attempts = 0x{'f' * 9000}", "not a number that far off"),
        _case("40-absurd-number", f"[api]\ntimeout_seconds = 0x{'f' * 9000}", "not a number that far off"),
        _case("40-concurrency", "[api]\nconcurrency = 1001", "must be from 1 to 1000, not 1001"),
        _case("40-no-bytes", "[api]\nmax_response_bytes = 0", "max_response_bytes: must be from 1"),
        _case("40-negative-jitter", "[sync]\njitter_seconds = -1", "must be from 0 to 86400, not -1"),
        _case("40-fraction", "[sync]\nmax_delete_fraction = 1.01", "must be from 0 to 1, not 1.01"),
        _case("40-negative-rows", "[sync]\nmax_delete_rows = -1", "max_delete_rows: must be from 0"),
        _case("40-long-grace", "[run]\ngrace_seconds = 1e9", "must be from 0 to 3600"),
        _case("40-no-failures", "[notify]\nafter_failures = 0", "must be from 1"),
        _case("40-bad-cron", '[sync]\nschedule = "61 * * * *"', "[sync] schedule: minute: 61 is not within"),
        _case(
            "40-zone",
            '[sync]\ntimezone = "Europe/Berln"',
            'unknown time zone "Europe/Berln"; did you mean Europe/Berlin?',
        ),
        _case("40-zone-is-folder", '[sync]\ntimezone = "Europe"', "unknown time zone"),
        _case("40-zone-is-path", '[sync]\ntimezone = "../etc/passwd"', "unknown time zone"),
        _case("40-zone-is-empty", '[sync]\ntimezone = ""', "unknown time zone"),
        _case("40-mysql", '[warehouse]\nurl = "mysql://h/d"', "must begin with sqlite:/// or postgresql://"),
        _case("40-psycopg2", '[warehouse]\nurl = "postgresql+psycopg2://h/d"', "psycopg 3 is the driver"),
        _case("40-port", '[warehouse]\nurl = "postgresql://h:x/d"', "[warehouse] url: must be postgresql://"),
        _case("40-port-range", '[warehouse]\nurl = "postgresql://h:99999/d"', "must have a port from 1 to"),
        _case(
            "40-sqlite", '[warehouse]\nurl = "sqlite:warehouse.db"', "must be sqlite:/// and the file's path"
        ),
        _case("40-in-memory", '[warehouse]\nurl = "sqlite://"', "nothing would remain"),
        _case("40-in-memory-named", '[warehouse]\nurl = "sqlite:///:memory:"', "nothing would remain"),
        _case("40-schema-for-sqlite", '[warehouse]\nschema = "x"', "schema: must be empty for SQLite"),
        _case(
            "40-bad-schema",
            '[warehouse]\nurl = "postgresql://h/d"\nschema = "x;y"',
            "must be a plain identifier",
        ),
        _case("40-listen-without-host", '[serve]\nlisten = "8080"', "must be HOST:PORT"),
        _case("40-listen-port", '[serve]\nlisten = "localhost:70000"', "must be HOST:PORT"),
        _case("74-open-to-others", '[serve]\nlisten = "0.0.0.0:8080"', "token_env, or write insecure"),
        _case("74-open-to-others-v6", '[serve]\nlisten = "[::]:8080"', "token_env, or write insecure"),
        _case("41-http", '[api]\nbase_url = "http://api.ontora.com"', "must begin with https://"),
        _case(
            "41-false-localhost", '[api]\nbase_url = "http://localhost.evil.com"', "must begin with https://"
        ),
        _case(
            "41-false-loopback", '[api]\nbase_url = "http://127.0.0.1@evil.com"', "must not hold credentials"
        ),
        _case("41-user", '[api]\nbase_url = "https://u:hunter2@api.ontora.com"', "must not hold credentials"),
        _case("41-query", '[api]\nbase_url = "https://api.ontora.com?a=b"', "no ? and no #"),
        _case("41-fragment", '[api]\nbase_url = "https://api.ontora.com/#"', "no ? and no #"),
        _case("41-no-scheme", '[api]\nbase_url = "api.ontora.com"', "must be an address like"),
        _case("41-ftp", '[api]\nbase_url = "ftp://localhost"', "must be an address like"),
        _case("41-broken-v6", '[api]\nbase_url = "https://[::1"', "is no valid address"),
        _case("41-broken-port", '[api]\nbase_url = "https://h:99999"', "is no valid address"),
        _case("41-blank", '[api]\nbase_url = "https://a b"', "without spaces"),
    ],
)
def test_reliability_a_fault_names_file_and_key(text: str, expected: str) -> None:
    (fault,) = faults(f"{text}\n{WORKSPACE}")
    assert fault.startswith("etl.toml: ")
    assert expected in fault


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        _case("40-bad-uuid", f'name = "a"\nid = "{ID[:-1]}"', '#2 "a" id: must be a UUID'),
        _case("40-uuid-in-braces", f'name = "a"\nid = "{{{ID}}}"', '#2 "a" id: must be a UUID'),
        _case(
            "40-same-name", f'name = "acme"\nid = "{OTHER_ID}"', "name: [[workspaces]] #1 has the same name"
        ),
        _case("40-same-id", f'name = "b"\nid = "{ID.upper()}"', "id: [[workspaces]] #1 has the same id"),
        _case("40-no-name", f'id = "{OTHER_ID}"', "[[workspaces]] #2 name: is missing"),
        _case("40-no-id", 'name = "b"', '[[workspaces]] #2 "b" id: is missing'),
        _case("40-empty-name", f'name = ""\nid = "{OTHER_ID}"', "1 to 100 characters, not 0"),
        _case("40-long-name", f'name = "{"x" * 101}"\nid = "{OTHER_ID}"', "not 101"),
        _case("40-control-name", f'name = "a\\u001b[31m"\nid = "{OTHER_ID}"', "#2 name: must be printable"),
        _case("40-dots-name", f'name = ".."\nid = "{OTHER_ID}"', "must not be . or .."),
        _case("40-option-name", f'name = "--all"\nid = "{OTHER_ID}"', "must not begin with a hyphen"),
        _case("41-key-as-name", f'name = "{KEY}"\nid = "{OTHER_ID}"', "#2 name: looks like a secret"),
        _case("40-number-name", f'name = 7\nid = "{OTHER_ID}"', "#2 name: must be text"),
        _case(
            "40-auth", f'name = "b"\nid = "{OTHER_ID}"\nauth = "basic"', '"api_key" or "bearer", not "basic"'
        ),
        _case("40-project", f'name = "b"\nid = "{OTHER_ID}"\nproject_id = "…"', "project_id: must be a UUID"),
        _case(
            "40-enabled", f'name = "b"\nid = "{OTHER_ID}"\nenabled = "no"', "enabled: must be true or false"
        ),
        _case("40-timezone", f'name = "b"\nid = "{OTHER_ID}"\ntimezone = "UTC"', "it belongs in [sync]"),
        _case("40-own-schedule", f'name = "b"\nid = "{OTHER_ID}"\nschedule = "x"', "schedule: "),
        _case("40-disabled-all-the-same", 'name = "b"\nid = "x"\nenabled = false', "id: must be a UUID"),
    ],
)
def test_reliability_a_fault_of_a_workspace_names_it(text: str, expected: str) -> None:
    (fault,) = faults(f"{WORKSPACE}\n[[workspaces]]\n{text}\n", ONTORA_API_KEY=KEY)
    assert fault.startswith("etl.toml: [[workspaces]] #2")
    assert expected in fault


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("ONTORA_ETL_API_TIMEOUT_SECONDS", "soon", "must be a number, not text"),
        ("ONTORA_ETL_API_TIMEOUT_SECONDS", "nan", "not nan"),
        ("ONTORA_ETL_API_MAX_ATTEMPTS", "5.0", "must be a whole number, not text"),
        ("ONTORA_ETL_API_MAX_ATTEMPTS", "1_0", "must be a whole number, not text"),
        ("ONTORA_ETL_API_BASE_URL", "http://api.ontora.com", "must begin with https://"),
        ("ONTORA_ETL_SYNC_HISTORY", "maybe", "must be true or false"),
        ("ONTORA_ETL_WAREHOUSE_URL", "mysql://me:hunter2@h/d", "must begin with sqlite"),
        ("ONTORA_ETL_WAREHOUSE_SCHEMA", "ontora", "only Postgres has schemas"),
    ],
)
def test_reliability_40_a_fault_of_the_environment_names_the_variable(
    variable: str, value: str, expected: str
) -> None:
    (fault,) = faults(WORKSPACE, **{variable: value})
    assert fault.startswith(f"environment variable {variable}: ")
    assert expected in fault
    assert "hunter2" not in fault


def test_reliability_40_all_faults_at_once() -> None:
    found = faults(
        f"""
        colour = "blue"
        [api]
        timeout_secs = 30
        max_attempts = -5
        base_url = "http://api.ontora.com"
        [warehouse]
        url = "oracle://h/d"
        schema = "of the bad url nothing is known"
        [sync]
        schedule = "* * *"
        timezone = "Mars/Olympus"
        [servers]
        listen = "0.0.0.0:80"
        [[workspaces]]
        name = "acme"
        id = "not-a-uuid"
        [[workspaces]]
        name = "acme"
        id = "{ID}"
        enable = true
        """,
        ONTORA_ETL_API_CONCURRENCY="0",
    )
    assert len(found) == 13
    assert str(ConfigError(found)).count("\n") == 12


@pytest.mark.parametrize("token", ['token_env = "TOKEN"', "insecure = true"])
def test_reliability_74_a_token_or_a_word_opens_the_address(token: str) -> None:
    assert load(f'[serve]\nlisten = "0.0.0.0:8080"\n{token}\n{WORKSPACE}').serve.listen == "0.0.0.0:8080"


def test_a_misspelt_variable_is_a_warning_and_a_stranger_is_not() -> None:
    settings = load(WORKSPACE, ONTORA_ETL_API_TIMEOUT_SECS="3", ONTORA_ETL_API_PORT_443_TCP_ADDR="10.0.0.1")
    (warning,) = settings.warnings
    assert "TIMEOUT_SECS sets nothing; did you mean timeout_seconds?" in warning


def test_workspaces_that_are_all_disabled_are_a_warning() -> None:
    (warning,) = load(WORKSPACE + "enabled = false\n").warnings
    assert "every workspace is disabled" in warning


# --- whatever is in the file, no secret is in a message ---

_SECRET = "ont_live_hunter2Hunter2hunter"
_KEYS = [
    *(f"[api]\n{key}" for key in ("base_url", "timeout_seconds", "max_attempts", "api_key", "nonsense")),
    *(f"[warehouse]\n{key}" for key in ("url", "schema", "auto_migrate", "password")),
    *(f"[sync]\n{key}" for key in ("schedule", "timezone", "history", "max_delete_rows")),
    *(f"[run]\n{key}" for key in ("grace_seconds", "token")),
    *(f"[serve]\n{key}" for key in ("listen", "token_env", "insecure", "token")),
    *(f"[notify]\n{key}" for key in ("webhook_url_env", "webhook_url", "heartbeat_url")),
    *(
        f"{WORKSPACE}{key}"
        for key in ("api_key", "api_key_env", "api_key_file", "auth", "project_id", "enabled")
    ),
    *(f"{WORKSPACE}{key}" for key in ("webhook_secret_env", "webhook_secret", "schedule", "secret", "token")),
    '[[workspaces]]\nname = "x"\nid',
    "token",
    "api_key",
]


@given(
    key=st.sampled_from(_KEYS),
    value=st.sampled_from(
        [
            _SECRET,
            f"whsec_{_SECRET}",
            f"https://hooks.example/{_SECRET}",
            f"x://me:{_SECRET}@h:x/",
            f"{_SECRET} {_SECRET}",
        ]
    ),
)
@hypothesis_settings(
    deadline=None, max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_reliability_41_a_secret_in_the_file_is_refused_and_not_repeated(key: str, value: str) -> None:
    assume(not ("base_url" in key and value.startswith("https:")))  # that is a good address
    text = f'{key} = "{value}"\n' + ("" if "[[workspaces]]" in key else WORKSPACE)
    found = faults(text, ONTORA_API_KEY=KEY)
    assert "hunter2" not in "\n".join(found).lower()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            'api_key = "x"',
            "a secret does not belong in this file: export it, and name its variable in api_key_env",
        ),
        ('webhook_secret = "x"', "name its variable in webhook_secret_env"),
        ('password = "x"', "a secret does not belong in this file: export it"),
        ('api_key_env = "ont_live_abc"', "api_key_env: looks like the secret itself"),
        ('api_key_env = "f3b1c9a07d5e4f6a8b2c1d0e9f8a7b6c"', "api_key_env: looks like the secret itself"),
        ('api_key_env = "MY-KEY"', "must be the name of an environment variable"),
        ('api_key_file = "whsec_abc/def"', "api_key_file: looks like the secret itself"),
        ('api_key_evn = "MY_KEY"', "unknown key; did you mean api_key_env?"),
    ],
)
def test_reliability_41_a_secret_in_the_file_says_where_it_belongs(text: str, expected: str) -> None:
    (fault,) = faults(f"{WORKSPACE}{text}\n")
    assert expected in fault


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://me:hunter2@h:port/d",
        "postgresql://me:hunter2@hunter2@h/d",
        "postgresql://me:hunter2@h/d\\n",
        "postgresql+asyncpg://me:hunter2@h/d",
        "oracle://me:hunter2@h/d",
    ],
)
def test_reliability_42_a_bad_url_does_not_show_its_password(url: str) -> None:
    (fault,) = faults(f'[warehouse]\nurl = "{url}"\n{WORKSPACE}')
    assert "[warehouse] url: " in fault
    assert "hunter2" not in fault
