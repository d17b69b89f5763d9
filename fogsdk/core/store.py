"""The records that a node has, in memory and in its journal on disk: each until its time, and only so many."""

from __future__ import annotations

from collections import OrderedDict
from itertools import takewhile

from fogsdk.core.commands import Write
from fogsdk.core.records import Record, recovered
from fogsdk.core.timers import Timers
from fogsdk.wire import codec

MOST_RECORDS = 10_000
MOST_RECORD_BYTES = 256 * 1024 * 1024
MOST_BURIED = 10_000
"""Erased records that are remembered, so that a node which comes back with a copy is told to erase it."""


class Store:
    """Records by key. What is put in is written to the journal too; ``confirmed`` tells which are on the disk."""

    def __init__(self) -> None:
        self.records: dict[str, Record] = {}
        self._bytes = 0
        self._writes = 0
        self._unwritten: dict[int, str] = {}
        self._wipes: dict[int, str] = {}  # not confirmed
        self._unwiped: dict[str, None] = {}  # keys of what the disk has still
        self._expiries: Timers[str] = Timers()
        self._buried: OrderedDict[str, None] = OrderedDict()

    def deadline(self) -> int | None:
        """When the time of a record is over."""
        return self._expiries.next()

    def full(self, size: int) -> str:
        """Why there is no room for a record of so many bytes, "" where there is."""
        if len(self.records) < MOST_RECORDS and self._bytes + size <= MOST_RECORD_BYTES:
            return ""
        most = f"{MOST_RECORDS} with {MOST_RECORD_BYTES} bytes"
        return f"{len(self.records)} records with {self._bytes} bytes are kept here; there may be {most}"

    def put(self, record: Record, now: int) -> Write:
        """Take a record in, in place of an older version."""
        self.forget(record.key)
        self._buried.pop(record.key, None)
        self.records[record.key] = record
        self._bytes += len(record.data)
        self._expiries.set(record.key, record.expires)
        return self.write(record, now)

    def change(self, record: Record, data: bytes, expires: int) -> None:
        """Give a record other data, and another time; that is yet to be written."""
        self._bytes += len(data) - len(record.data)
        record.data, record.expires = data, expires
        self._expiries.set(record.key, expires)

    def write(self, record: Record, now: int) -> Write:
        """Write a record as it is now to the journal."""
        self._writes += 1
        record.number, record.written = self._writes, False
        self._unwritten[record.number] = record.key
        return Write(record.number, record.key, codec.encode([record.replica(now)]))

    def wipe(self, key: str) -> Write:
        """Take a record out of the journal."""
        self._writes += 1
        self._wipes[self._writes] = key
        return Write(self._writes, key, None)

    def wipe_again(self) -> list[Write]:
        """Take out of the journal what the disk did not let go before, and what is no record again."""
        keys, self._unwiped = self._unwiped, {}
        return [self.wipe(key) for key in keys if key not in self.records or self.records[key].erased]

    def drop(self, key: str) -> Write:
        """Take a record out of memory and journal."""
        self.forget(key)
        return self.wipe(key)

    def bury(self, key: str) -> Write:
        """Take out a record that was erased by who may, and remember that."""
        self._buried[key] = None
        if len(self._buried) > MOST_BURIED:
            self._buried.popitem(last=False)
        return self.drop(key)

    def buried(self, key: str) -> bool:
        """Whether the record of a key was erased here not long ago."""
        return key in self._buried

    def forget(self, key: str) -> None:
        """Take a record out of memory alone."""
        record = self.records.pop(key, None)
        if record is not None:
            self._bytes -= len(record.data)
            self._expiries.drop(key)

    def recover(self, records: tuple[tuple[str, bytes], ...], now: int) -> list[str]:
        """Take in what the journal holds. Returns the keys of what cannot be read."""
        unreadable = []
        for key, data in records:
            record = recovered(key, data, now)
            if record is None:
                unreadable.append(key)
                continue
            self.records[key] = record
            self._bytes += len(record.data)
            self._expiries.set(key, record.expires)
        return unreadable

    def confirmed(self, number: int) -> list[Record]:
        """The records whose latest write is no later than this one, and was not confirmed before."""
        records = []
        while self._unwritten and (first := next(iter(self._unwritten))) <= number:
            record = self.records.get(self._unwritten.pop(first))
            if record is not None and record.number == first:
                records.append(record)
        return records

    def wiped(self, number: int) -> None:
        """Everything up to this write is on the disk."""
        for key in self._due_wipes(number):
            self._unwiped.pop(key, None)

    def not_wiped(self, number: int) -> list[str]:
        """What was not yet confirmed up to this write is not on the disk. Returns the keys that are still there."""
        keys = self._due_wipes(number)
        self._unwiped.update(dict.fromkeys(keys))
        return keys

    def _due_wipes(self, number: int) -> list[str]:
        due = list(takewhile(lambda each: each <= number, self._wipes))
        return [self._wipes.pop(each) for each in due]

    def expired(self, now: int) -> list[Record]:
        """The records whose time is over."""
        return [self.records[key] for key in self._expiries.pop_due(now)]
