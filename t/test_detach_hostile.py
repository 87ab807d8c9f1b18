"""Input that means harm, to streams whose request is over."""

from test_detach import detached                            # noqa: F401
from test_hostile import (                                  # noqa: F401
    live,
    test_floods_of_a_client_that_reads_nothing,
    test_fragments_without_end,
    test_half_closed_sockets,
    test_many_who_take_nothing,
    test_pipelined_behind_a_stream,
    test_readers_that_come_and_go_leave_nothing)
