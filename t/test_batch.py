"""Many readers, one system call: with io_uring, without it, and where the
kernel does not let us have it."""

import errno
import os
import sys
from pathlib import Path

import pytest

from harness.crowd import Crowd
from harness.load import check_order, drop
from harness.process import wait_for

READERS = 12        # per transport and path; two workers share them

# A filter for seccomp(2), as containers have one: a call fails.  io_uring's
# have the same numbers on every architecture.
SETUP, ENTER = 425, 426
FORBID = """
import ctypes, os, struct, sys

code = b"".join(struct.pack("HBBI", *line) for line in (
    (0x20, 0, 0, 0),                # load the call's number
    (0x15, 0, 1, CALL),             # if it is this one
    (0x06, 0, 0, 0x00050000 | ERROR),   # return it
    (0x06, 0, 0, 0x7fff0000)))      # allow
text = ctypes.create_string_buffer(code)
program = ctypes.create_string_buffer(
    struct.pack("HxxxxxxP", 4, ctypes.addressof(text)))
libc = ctypes.CDLL(None, use_errno=True)
if libc.prctl(38, 1, 0, 0, 0) or libc.prctl(22, 2, program, 0, 0):
    sys.exit("prctl: " + os.strerror(ctypes.get_errno()))
os.execv(sys.argv[1], sys.argv[1:])
"""


def forbid(call, error):
    code = FORBID.replace("CALL", str(call)).replace("ERROR", str(error))
    return [sys.executable, "-c", code]


def rings(n):
    return [pid for pid in n.workers()
            if any(os.readlink(f) == "anon_inode:[io_uring]"
                   for f in Path(f"/proc/{pid}/fd").iterdir()
                   if os.path.lexists(f))]


@pytest.fixture
def start(kafka, nginx, module):
    def start(main="", more="", **settings):
        topic = kafka.create_topic()
        n = nginx(kafka=kafka, server_conf=f"""
        location = /live {{ flux_stream f; flux_compress off; {more} }}
        location = /zip {{ flux_stream f; {more} }}""",
                  http_conf=f"{main} flux_feed f {{ topic {topic}; }}",
                  **settings)
        n.topic = topic
        return n

    return start


def crowd(n):
    readers = [open(path, compress=path == "/zip")
               for _ in range(READERS) for open in (n.sse, n.ws)
               for path in ("/live", "/zip")]
    for r in readers:
        r.wait_snapshot("f")
    return readers


def send(n, kafka, first, count, pad=0):
    for i in range(first, first + count):
        kafka.produce(n.topic, {"n": i, "pad": "x" * pad}, key=f"k{i % 7}")
        if i % 10 == 0:
            kafka.flush()
    kafka.flush()


def numbers(r):
    return [m["data"]["n"] for m in r.updates("f")]


def check_all_get_all(n, kafka):
    readers = crowd(n)
    send(n, kafka, 0, 200)
    for r in readers:
        r.wait(lambda s: numbers(s) == list(range(200)))
    sent = n.status()["sent"]
    assert sent["messages"] >= 200 * len(readers)


def test_readers_of_a_room_are_sent_to_by_one_call(start, kafka):
    n = start()
    assert rings(n) == []
    check_all_get_all(n, kafka)
    assert sorted(rings(n)) == sorted(n.workers())


def test_off_means_off(start, kafka):
    n = start("flux_io_uring off;")
    check_all_get_all(n, kafka)
    assert rings(n) == []


def test_a_kernel_that_forbids_it_is_done_without(start, kafka):
    n = start(launcher=forbid(SETUP, errno.EPERM))
    check_all_get_all(n, kafka)
    assert rings(n) == []
    told = "one by one: io_uring_setup() failed (1: Operation not permitted)"
    wait_for(lambda: n.error_log.count(told) == 2, 5, "one line per worker")


@pytest.mark.parametrize("error", [errno.EPERM, errno.EAGAIN],
                         ids=errno.errorcode.get)
def test_a_kernel_that_takes_no_batch_loses_no_reader(start, kafka, error):
    n = start(launcher=forbid(ENTER, error))
    n.expect_log(rf"one by one: io_uring_enter\(\) failed \({error}:")
    check_all_get_all(n, kafka)
    assert rings(n) == []


def test_bytes_in_the_access_log_are_all_that_went(start, kafka):
    n = start("log_format bytes '$bytes_sent $flux_messages';",
              "access_log bytes.log bytes;")
    crowd = Crowd(n.port, "/live")
    crowd.join(2 * READERS)
    crowd.wait_all_have(b'"type":"snapshot"')
    send(n, kafka, 0, 30, pad=1000)
    crowd.wait_all_have(b'"n":29,')
    crowd.wait_all_have(b"\n\n\r\n")
    crowd.close()
    wanted = sorted(f"{len(received)} 31" for received in crowd.received)
    log = n.prefix / "bytes.log"
    wait_for(lambda: sorted(log.read_text().splitlines()) == wanted, 5,
             f"the log says {wanted}")


def test_some_in_the_batch_take_nothing(start, kafka):
    """A frame that went in part is completed, in order, later."""
    n = start(more="flux_buffer 8k;")
    good = crowd(n)
    slow = [n.sse("/live", receive_buffer=2048) for _ in range(READERS)]
    for r in slow:
        r.wait_snapshot("f")
        r.pause()
    send(n, kafka, 1, 300, pad=4000)
    for r in good:
        r.wait(lambda s: numbers(s) == list(range(1, 301)))
    for r in slow:
        r.resume()
    for r in slow:
        r.wait(lambda s: sorted(m["n"] for m in s.rooms["f"].values.values())
               == list(range(294, 301)))
        check_order(r.messages)
    send(n, kafka, 301, 20)
    for r in (*good, *slow):
        r.wait(lambda s: numbers(s)[-20:] == list(range(301, 321)))


def test_some_in_the_batch_are_gone(start, kafka):
    """Reset connections: each ends its own reader only."""
    n = start()
    good = crowd(n)
    for turn in range(5):
        lost = crowd(n)
        for r in lost:
            drop(r)
        send(n, kafka, turn * 40, 40)
    for r in good:
        r.wait(lambda s: numbers(s) == list(range(200)))
    wait_for(lambda: sum(n.status()["readers"].values()) == len(good), 10,
             "the lost ones are not counted any more")
