"""Compressed streams whose request is over."""

from test_detach import detached                            # noqa: F401
from test_transports_compress import (                      # noqa: F401
    live,
    test_bombs_and_garbage,
    test_heartbeats_and_the_end_in_a_gzip_stream,
    test_private_messages_beside_compressed_ones,
    test_readers_that_come_and_go_get_the_same,
    test_slow_readers_find_back_into_the_stream)
