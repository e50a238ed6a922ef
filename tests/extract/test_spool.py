from __future__ import annotations

import resource
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import xxhash
from hypothesis import given, settings
from hypothesis import strategies as st

from etl.errors import ResponseTooLarge, SpoolError
from etl.extract.spool import BYTES_IN_MEMORY, Spool

LARGE = bytes(BYTES_IN_MEMORY + 10_000)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=100), max_size=20), st.sampled_from([b"", LARGE]))
def test_what_arrives_in_pieces_is_kept_whole(pieces: list[bytes], large: bytes) -> None:
    spool = Spool(max_bytes=4000 + len(large))
    for piece in (*pieces, large, *pieces):
        spool.write(piece)
    whole = b"".join([*pieces, large, *pieces])
    with spool.seal() as answer:
        answer.file.seek(0)
        assert answer.file.read() == whole
        assert answer.size == spool.size == len(whole)
        assert answer.digest == xxhash.xxh3_128_digest(whole)
    assert answer.file.closed


def test_the_digest_does_not_depend_on_the_pieces() -> None:
    digests = set()
    for size in (1, 7, 1000):
        spool = Spool(max_bytes=1000)
        for at in range(0, 1000, size):
            spool.write(bytes(1000)[at : at + size])
        with spool.seal() as answer:
            digests.add(answer.digest)
    assert len(digests) == 1


def test_9_an_answer_may_be_as_long_as_the_limit_and_no_longer() -> None:
    spool = Spool(max_bytes=1_000)
    spool.write(bytes(600))
    spool.write(bytes(400))
    with pytest.raises(ResponseTooLarge, match=r"api\.max_response_bytes \(1,000 bytes\)"):
        spool.write(b"x")
    with spool.seal() as answer:
        answer.file.seek(0)
        assert len(answer.file.read()) == 1_000  # what was too much never reached the disk


def test_a_discarded_spool_is_closed() -> None:
    spool = Spool(max_bytes=10)
    spool.write(b"x")
    spool.discard()
    assert spool.seal().file.closed


def test_14_nothing_is_left_in_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool(max_bytes=10_000_000)
    spool.write(LARGE)
    assert list(tmp_path.iterdir()) == []  # not even now: a kill -9 leaves nothing behind
    spool.discard()


def test_14_a_folder_that_is_not_there_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(SpoolError, match="gone") as failure:
        Spool(max_bytes=10_000_000).write(LARGE)
    assert failure.value.code == "spool_error"
    assert "TMPDIR" in failure.value.remedy


def test_14_no_folder_at_all_is_a_spool_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(tempfile, "_candidate_tempdir_list", lambda: ["/dev/null", "/no/such/folder"])
    with pytest.raises(
        SpoolError, match=r"cannot keep the answer \(No usable temporary directory"
    ) as failure:
        Spool(max_bytes=10_000_000).write(LARGE)
    assert "TMPDIR" in failure.value.remedy


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("already", [0, BYTES_IN_MEMORY], ids=["while-leaving-memory", "later"])
def test_14_a_disk_that_takes_no_more_is_a_spool_error(already: int) -> None:
    spool = Spool(max_bytes=10_000_000)
    spool.write(bytes(already))
    refused = None
    with files_of_at_most(already + 5_000):
        try:
            spool.write(LARGE)  # the kernel takes the first part, then refuses
        except SpoolError as error:
            refused = error
    spool.discard()
    assert refused is not None
    assert "cannot keep the answer" in refused.message
    assert "TMPDIR" in refused.remedy
