"""Loki's PushRequest as Google's library writes it, from the field numbers of Loki's `pkg/push/push.proto`."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, timestamp_pb2

_STRING, _MESSAGE, _UINT64 = 9, 11, 4
_ONE, _MANY = 1, 3
_MESSAGES: dict[str, list[tuple[int, str, int, int, str]]] = {
    "PushRequest": [(1, "streams", _MANY, _MESSAGE, "Stream"), (2, "format", _ONE, _STRING, "")],
    "Stream": [
        (1, "labels", _ONE, _STRING, ""),
        (2, "entries", _MANY, _MESSAGE, "Entry"),
        (3, "hash", _ONE, _UINT64, ""),
    ],
    "Entry": [
        (1, "timestamp", _ONE, _MESSAGE, "google.protobuf.Timestamp"),
        (2, "line", _ONE, _STRING, ""),
        (3, "metadata", _MANY, _MESSAGE, "Pair"),
    ],
    "Pair": [(1, "name", _ONE, _STRING, ""), (2, "value", _ONE, _STRING, "")],
}


def _push_request() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="push.proto", syntax="proto3", package="logproto")
    file.dependency.append(timestamp_pb2.DESCRIPTOR.name)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field, label, kind, of in fields:
            of = f".{of}" if "." in of else f".logproto.{of}"
            more = {"type_name": of} if kind == _MESSAGE else {}
            message.field.add(name=field, number=number, label=label, type=kind, **more)
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(timestamp_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName("logproto.PushRequest"))


PushRequest = _push_request()


def push_request(*streams: tuple[str, list[str]]) -> bytes:
    """The labels and lines of each stream."""
    request = PushRequest(format="loki")
    for labels, lines in streams:
        stream = request.streams.add(labels=labels, hash=2**64 - 1)
        for at, line in enumerate(lines):
            entry = stream.entries.add(line=line)
            entry.timestamp.seconds, entry.timestamp.nanos = 1772438400 + at, 7
            entry.metadata.add(name="trace", value="no line")
    encoded: bytes = request.SerializeToString()
    return encoded
