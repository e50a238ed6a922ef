"""A response's body, unpacked in pieces of bounded size, however much a packed byte may become."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator

import httpx

from etl.errors import UnexpectedAnswer

_LARGEST_PIECE_BYTES = 256 * 1024
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS


async def pieces(response: httpx.Response) -> AsyncIterator[bytes]:
    """The body as the sender meant it. Raises UnexpectedAnswer where its compression is broken, or twofold.

    httpx unpacks whatever one read from the wire holds at once: 64 kB of gzip may be 64 MB. So gzip is
    unpacked here; what else httpx knows, it unpacks.
    """
    named = response.headers.get("content-encoding", "").lower().split(",")
    layers = [layer for name in named if (layer := name.strip()) not in ("", "identity")]
    if len(layers) > 1:  # two can inflate a million times
        raise UnexpectedAnswer("the answer is compressed twice", remedy="is a proxy between?")
    if layers not in (["gzip"], ["x-gzip"]):
        async for piece in response.aiter_bytes():
            yield piece
        return
    inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        async for packed in response.aiter_raw():
            rest = packed
            while rest:
                yield inflater.decompress(rest, _LARGEST_PIECE_BYTES)
                rest = inflater.unconsumed_tail
                if inflater.eof and inflater.unused_data:  # a further gzip member follows
                    rest, inflater = inflater.unused_data, zlib.decompressobj(_GZIP_OR_ZLIB)
    except zlib.error as error:
        raise broken_compression() from error
    if not inflater.eof:
        raise broken_compression()


def broken_compression() -> UnexpectedAnswer:
    """The error for a body that cannot be unpacked."""
    return UnexpectedAnswer(
        "the answer's compression is broken", remedy="a proxy may have damaged it; the next run asks again"
    )
