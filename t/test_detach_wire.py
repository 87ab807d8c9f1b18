"""Every byte of it, plain and over TLS, when the request is over."""

from test_detach import detached                            # noqa: F401
from test_transports_wire import (                          # noqa: F401
    certificate,
    live,
    test_compressed_byte_by_byte,
    test_sse_byte_by_byte,
    test_tls,
    test_websocket_byte_by_byte)
