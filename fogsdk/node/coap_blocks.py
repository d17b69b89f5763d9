"""Bodies larger than one datagram (RFC 7959): put together on the way in, cut on the way out, so many and no more."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import aiocoap
from aiocoap.blockwise import ContinueException, IncompleteException
from aiocoap.numbers.codes import Code

from fogsdk.node.coap_answers import Problem
from fogsdk.node.door_requests import MOST_BODY

BLOCK = 1024
"""Bytes in a block, and the largest body that is sent in one piece."""
MOST_BODIES = 256
MOST_BYTES = 8 * MOST_BODY
"""Bodies, and bytes of them, that are kept each way at once: what was not touched for longest makes room."""
KEEP = 60.0
"""Seconds that a body is kept whose next block is not sent, or not asked for."""

_SIZE_EXPONENT = 6


@dataclass
class _Body:
    """A body on its way: so far, or the whole of it with the answer that it belongs to."""

    data: bytearray | bytes
    touched: float
    answer: Any = None


@dataclass
class _Bodies:
    """The bodies on their way in one direction."""

    kept: OrderedDict[Any, _Body] = field(default_factory=OrderedDict)
    size: int = 0

    def get(self, key: Any) -> _Body | None:
        """One that is on its way."""
        body = self.kept.get(key)
        if body is not None:
            body.touched = _now()
            self.kept.move_to_end(key)
        return body

    def put(self, key: Any, body: _Body) -> None:
        """Keep one, in place of an earlier one."""
        self.drop(key)
        self.kept[key] = body
        self.grow(len(body.data))

    def grow(self, size: int) -> None:
        """One became so much larger; the oldest make room."""
        self.size += size
        while self.kept and (
            self.size > MOST_BYTES or len(self.kept) > MOST_BODIES or self._oldest().touched < _now() - KEEP
        ):
            self.drop(next(iter(self.kept)))

    def drop(self, key: Any) -> None:
        """Keep one no longer."""
        body = self.kept.pop(key, None)
        if body is not None:
            self.size -= len(body.data)

    def _oldest(self) -> _Body:
        return next(iter(self.kept.values()))


class Blocks:
    """The bodies on their way to and from one server."""

    def __init__(self) -> None:
        self._coming, self._going = _Bodies(), _Bodies()
        self._tags = count(1)

    def take(self, request: Any) -> bytes:
        """The whole body of a request with the last of its blocks. Raises what is to be answered to the others."""
        block, payload = request.opt.block1, request.payload
        if block is None:
            return bytes(payload)
        key = (*_key(request), request.opt.request_tag)
        if block.size_exponent > _SIZE_EXPONENT or (block.more and len(payload) != block.size):
            raise Problem(aiocoap.BAD_REQUEST, "a block has as many bytes as its option says, 1024 at the most")
        if max(block.start + len(payload), request.opt.size1 or 0) > MOST_BODY:
            self._coming.drop(key)
            raise Problem(aiocoap.REQUEST_ENTITY_TOO_LARGE, f"the limit is {MOST_BODY} bytes", size1=MOST_BODY)
        body = self._coming.get(key)
        if block.block_number == 0:
            self._coming.put(key, _Body(bytearray(payload), _now()))
        elif body is None or block.start != len(body.data):
            raise IncompleteException("a block before this one is missing: begin again")
        else:
            body.data += payload
            self._coming.grow(len(payload))
        if block.more:
            raise ContinueException(block)
        whole = self._coming.get(key)
        if whole is None:
            raise Problem(aiocoap.SERVICE_UNAVAILABLE, "too many large bodies are on their way", max_age=1)
        self._coming.drop(key)
        return bytes(whole.data)

    def more(self, request: Any) -> Any:
        """The further block of an earlier answer that a request is for, None where it is for something else."""
        if not _further(request):
            return None
        body = self._going.get(_key(request))
        if body is not None:
            return _cut(body, request.opt.block2)
        if request.code is Code.GET:
            return None  # it is made again; its ETag tells whether it is the same
        raise IncompleteException("the answer that this block is of is no longer here: ask again")

    def cut(self, request: Any, answer: Any) -> Any:
        """An answer as it is sent: its first block, or the one that the request is for, where it is a large one."""
        if answer.opt.block2 is not None:  # it is a block already
            return answer
        asked, key = request.opt.block2, _key(request)
        size = BLOCK if asked is None else min(BLOCK, asked.size)
        if len(answer.payload) <= size and not _further(request):
            self._going.drop(key)
            return answer
        if answer.opt.etag is None:
            answer.opt.etag = next(self._tags).to_bytes(4, "big")
        body = _Body(answer.payload, _now(), answer)
        self._going.put(key, body)
        return _cut(body, asked)


def piece(request: Any, whole: Any) -> Any:
    """The block that a request is for, of an answer that somebody else keeps, with an ETag."""
    return _cut(_Body(whole.payload, _now(), whole), request.opt.block2)


def _cut(body: _Body, asked: Any) -> Any:
    number, exponent = (0, _SIZE_EXPONENT) if asked is None else (asked.block_number, asked.size_exponent)
    size = 1 << (min(exponent, _SIZE_EXPONENT) + 4)
    start = number * size
    if start >= max(1, len(body.data)):
        raise Problem(aiocoap.BAD_REQUEST, "there are fewer blocks")
    part = bytes(memoryview(body.data)[start : start + size])
    piece = aiocoap.Message(code=body.answer.code, payload=part, transport_tuning=body.answer.transport_tuning)
    for option in body.answer.opt.option_list():
        piece.opt.add_option(option)
    piece.opt.block2 = (number, start + size < len(body.data), min(exponent, _SIZE_EXPONENT))
    if number == 0:
        piece.opt.size2 = len(body.data)
    return piece


def _further(request: Any) -> bool:
    return request.opt.block2 is not None and request.opt.block2.block_number > 0


def _key(request: Any) -> tuple[Any, ...]:
    return request.remote.blockwise_key, request.code, request.opt.uri_path, request.opt.uri_query, request.opt.accept


def _now() -> float:
    return asyncio.get_running_loop().time()
