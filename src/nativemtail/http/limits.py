"""All limits of the HTTP server."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Times in seconds, sizes in bytes.  A client that exceeds one gets the status named here and is cut off."""

    header_bytes: int = 16 * 1024
    """Request line and headers together: 431."""
    header_seconds: float = 5.0
    """From a request's first byte (or from the connection) to the end of its body; also for a TLS handshake: 408."""
    body_bytes: int = 64 * 1024
    """Request bodies are read and ignored up to this: 413."""
    idle_seconds: float = 30.0
    """Between two requests of a connection: closed without an answer."""
    write_seconds: float = 60.0
    """For a whole response: reset."""
    linger_seconds: float = 1.0
    """How long to read on after an error response, so that the peer can read it."""
    close_seconds: float = 5.0
    """For TLS's shutdown and the last bytes in its buffers: reset."""
    connections: int = 512
    """Open connections (a few more while others close).  Beyond it the connection that has been longest without a whole
    request is closed, else one whose peer has stalled; otherwise the new one gets 503."""
    probes: int = 64
    """Connections beyond these on which only probes are answered (without TLS)."""
    incomplete: int = 448
    """Connections without a whole request; the difference to `connections` is reserved for those with one."""
    handshakes: int = 1024
    """Connections beyond `connections` that wait for their turn to begin a TLS handshake; then the one that has waited
    longest in the network with most of them is closed."""
    strangers: int = 32
    """Connections from untrusted hosts; beyond it one of these is closed in the same way."""
    render_threads: int = 2
    window_bytes: int = 4 * 1024 * 1024
    """Bytes of one answer that were rendered but not yet sent to all clients that wait for it."""
    pending_bytes: int = 64 * 1024 * 1024
    """The same for all answers; above it further requests get 503 until some of it has been sent."""
    buffer_bytes: int = 8 * 1024 * 1024
    """Bytes copied for the connections, in addition to what clients of one answer share, ..."""
    write_bytes: tuple[int, int] = (16 * 1024, 128 * 1024)
    """... with these bounds for each connection."""
    stall_seconds: float = 1.0
    """A peer that has received nothing for this long is cut off if others need its connection or memory."""
    compress_from: int = 1024
    query_fields: int = 1000
    """Number of parameters of a request: 400."""
    prefix_chars: int = 128
    """Length of `?prefix=`: 400."""
