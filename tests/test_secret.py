from __future__ import annotations

import copy
import json
import logging
import pickle
import traceback
from dataclasses import asdict, dataclass

import msgspec
import pytest

from etl.secret import Secret

VALUE = "ont_live_5f2d"


@dataclass(frozen=True, slots=True)
class Holder:
    key: Secret


def fail(secret: Secret) -> None:
    raise ValueError(f"cannot use {secret}")


def test_only_reveal_shows_it() -> None:
    assert Secret(VALUE).reveal() == VALUE


def test_no_textual_form_shows_it() -> None:
    secret = Secret(VALUE)
    forms = [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret!a}", "%s %r" % (secret, secret)]  # noqa: UP031  # one of the forms
    forms += [
        f"{[secret]} { ({'key': secret}) }",
        repr(Holder(secret)),
        str(Exception(secret)),
        ascii(secret),
    ]
    assert not [form for form in forms if VALUE in form]
    with pytest.raises(TypeError) as failure:
        format(secret, ">40")
    assert VALUE not in str(failure.value)


def test_it_has_no_attributes_to_list() -> None:
    with pytest.raises(TypeError):
        vars(Secret(VALUE))


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_it_is_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="does not leave memory"):
        pickle.dumps(Secret(VALUE), protocol)


def test_it_is_neither_copied_nor_taken_apart_with_its_holder() -> None:
    for take in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="does not leave memory"):
            take(Secret(VALUE))
    with pytest.raises(TypeError, match="does not leave memory"):
        asdict(Holder(Secret(VALUE)))


def test_it_is_no_json() -> None:
    for encode in (json.dumps, msgspec.json.encode, msgspec.to_builtins):
        with pytest.raises(TypeError) as failure:
            encode({"key": Secret(VALUE)})
        assert VALUE not in str(failure.value)
    assert VALUE not in json.dumps({"key": Secret(VALUE)}, default=str)


def test_a_traceback_does_not_show_it_even_with_its_variables() -> None:
    with pytest.raises(ValueError, match="cannot use") as failure:
        fail(Secret(VALUE))
    error = failure.value
    shown = "".join(traceback.TracebackException.from_exception(error, capture_locals=True).format())
    assert "Secret('***')" in shown
    assert VALUE not in shown
    assert VALUE not in "".join(traceback.format_exception(error))


def test_a_log_does_not_show_it(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("etl.test").warning("key %s of %r", Secret(VALUE), Holder(Secret(VALUE)))
    assert "***" in caplog.text
    assert VALUE not in caplog.text


def test_it_equals_only_a_secret_of_the_same_value() -> None:
    assert Secret(VALUE) == Secret(VALUE)
    assert hash(Secret(VALUE)) == hash(Secret(VALUE))
    assert Secret(VALUE) != Secret(VALUE + "0")
    assert Secret(VALUE) != VALUE
