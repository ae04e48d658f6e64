"""Between the client and the emulator: what Google's service does and the emulator never does.

It refuses moments that are no longer kept, breaks streams off, loses answers and declines single writes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import grpc
from google.cloud.firestore_v1.types import BatchWriteRequest, BatchWriteResponse, RunQueryRequest

_RUN_QUERY = "/google.firestore.v1.Firestore/RunQuery"
_BATCH_WRITE = "/google.firestore.v1.Firestore/BatchWrite"
_STREAMS = (_RUN_QUERY, "/google.firestore.v1.Firestore/BatchGetDocuments")


@dataclass
class Faults:
    """What goes wrong.

    Attributes:
        endpoint: of the proxy.
        shows: whether a moment is still kept, of the queries' read time.
        cut: after so many answers of a query, each once; break it off with this status.
        write_codes: statuses for the first write of the next batches, which is then not done.
        lose_writes: how many batches are done and their answers lost.
        moments: the read times that were asked for.
    """

    endpoint: str = ""
    shows: Callable[[datetime], bool] = lambda _: True
    cut: list[tuple[int, grpc.StatusCode]] = field(default_factory=list)
    write_codes: list[int] = field(default_factory=list)
    lose_writes: int = 0
    moments: list[datetime] = field(default_factory=list)


class _Handler(grpc.GenericRpcHandler):
    def __init__(self, channel: grpc.Channel, faults: Faults) -> None:
        self._channel, self._faults = channel, faults

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        method = details.method
        if method in _STREAMS:
            return grpc.unary_stream_rpc_method_handler(
                lambda request, context: self._stream(method, request, context)
            )
        return grpc.unary_unary_rpc_method_handler(
            lambda request, context: self._unary(method, request, context)
        )

    def _metadata(self, context: grpc.ServicerContext) -> list[tuple[str, Any]]:
        passed = ("authorization", "x-goog-request-params", "google-cloud-resource-prefix")
        return [(key, value) for key, value in context.invocation_metadata() if key in passed]

    def _stream(self, method: str, request: bytes, context: grpc.ServicerContext) -> Iterator[bytes]:
        faults = self._faults
        if method == _RUN_QUERY:
            moment = RunQueryRequest.deserialize(request).read_time
            if moment:
                plain = datetime.fromtimestamp(moment.timestamp(), UTC)
                faults.moments.append(plain)
                if not faults.shows(plain):
                    context.abort(
                        grpc.StatusCode.FAILED_PRECONDITION, "The requested snapshot version is too old."
                    )
        limit, code = faults.cut.pop(0) if method == _RUN_QUERY and faults.cut else (-1, None)
        answers = self._channel.unary_stream(method)(request, metadata=self._metadata(context))
        for number, answer in enumerate(answers):
            if number == limit:
                answers.cancel()
                context.abort(code, "The requested snapshot version is too old.")
            yield answer

    def _unary(self, method: str, request: bytes, context: grpc.ServicerContext) -> bytes:
        faults = self._faults
        declined = None
        if method == _BATCH_WRITE and faults.write_codes:
            declined = faults.write_codes.pop(0)
            parsed = BatchWriteRequest.deserialize(request)
            parsed.writes = list(parsed.writes)[1:]
            request = BatchWriteRequest.serialize(parsed)
        answer: bytes = self._channel.unary_unary(method)(request, metadata=self._metadata(context))
        if method == _BATCH_WRITE and faults.lose_writes:
            faults.lose_writes -= 1
            context.abort(grpc.StatusCode.UNAVAILABLE, "the answer got lost")
        if declined is None:
            return answer
        response = BatchWriteResponse.deserialize(answer)
        response.status = [{"code": declined, "message": "declined"}, *response.status]
        response.write_results = [{}, *response.write_results]
        return bytes(BatchWriteResponse.serialize(response))


@contextmanager
def proxying(endpoint: str) -> Iterator[Faults]:
    faults = Faults()
    unlimited = [("grpc.max_receive_message_length", -1)]
    with (
        grpc.insecure_channel(endpoint.removeprefix("http://"), options=unlimited) as channel,
        ThreadPoolExecutor(8) as pool,
    ):
        server = grpc.server(pool, options=unlimited)
        server.add_generic_rpc_handlers([_Handler(channel, faults)])
        faults.endpoint = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
        server.start()
        try:
            yield faults
        finally:
            server.stop(None).wait()
