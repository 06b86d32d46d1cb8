# SPDX-License-Identifier: GPL-2.0-or-later
"""The sink and the source of the console."""

from __future__ import annotations

import os
import select
import threading

from lguest_py.console.streams import CHUNK, END_OF_INPUT, LIMIT, Input, Output

PATIENCE = 60.0


def collect(fd: int, into: list[bytes]) -> threading.Thread:
    def run() -> None:
        while piece := os.read(fd, 777):
            into.append(piece)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def test_everything_is_written_in_order_even_to_a_slow_and_non_blocking_pipe() -> None:
    read, write = os.pipe()
    os.set_blocking(write, False)
    output = Output(write)
    data = os.urandom(LIMIT)
    output.write(data[: LIMIT // 3])
    output.write(data[LIMIT // 3 :])
    assert output.room < LIMIT
    assert not output.empty
    got: list[bytes] = []
    thread = collect(read, got)
    assert output.finish(PATIENCE) == 0
    assert output.empty
    assert output.last == data[-1:]
    os.close(write)
    thread.join()
    os.close(read)
    assert b"".join(got) == data


def test_it_tells_when_there_is_room_again_and_when_all_is_written() -> None:
    read, write = os.pipe()
    output = Output(write)
    output.write(b"x" * LIMIT)
    output.notify_when(LIMIT // 2)
    assert not select.select([output], [], [], 0.05)[0]
    got: list[bytes] = []
    thread = collect(read, got)
    assert select.select([output], [], [], PATIENCE)[0], "no word of new room"
    output.clear()
    assert output.room >= LIMIT // 2
    output.notify_when(0)
    assert select.select([output], [], [], PATIENCE)[0], "no word of the end"
    output.clear()
    assert output.empty
    output.write(b"y")
    output.finish(PATIENCE)
    assert not select.select([output], [], [], 0)[0], "told without being asked"
    output.notify_when(0)
    assert select.select([output], [], [], 0)[0], "what is so already is told at once"
    os.close(write)
    thread.join()
    os.close(read)


def test_finish_gives_up_in_time_and_says_how_much_is_left() -> None:
    read, write = os.pipe()
    output = Output(write)
    output.write(b"x" * LIMIT)
    assert 0 < output.finish(0.05) <= LIMIT
    os.close(read)


def test_what_finish_gave_up_does_not_come_out_later() -> None:
    """But for the piece that was under way: a report follows it."""
    read, write = os.pipe()
    output = Output(write)
    output.write(b"x" * LIMIT)
    left = output.finish(0.05)
    assert output.empty
    assert output.last != b"\n"  # the line is open
    got: list[bytes] = []
    thread = collect(read, got)
    assert output.finish(PATIENCE) == 0
    output.write(b"\n")
    assert output.finish(PATIENCE) == 0
    os.close(write)
    thread.join()
    os.close(read)
    assert LIMIT - left <= len(b"".join(got)) - 1 <= LIMIT - left + CHUNK


def test_it_can_be_closed_with_its_thread_and_its_descriptors() -> None:
    """Also a program that boots many Guests has room for each."""
    read, write = os.pipe()
    before, threads = set(os.listdir("/proc/self/fd")), set(threading.enumerate())
    output = Output(write)
    output.write(b"all of it")
    assert output.finish(PATIENCE) == 0
    (thread,) = set(threading.enumerate()) - threads
    output.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    output.close()
    output.write(b"dropped")
    assert output.empty
    assert set(os.listdir("/proc/self/fd")) == before
    os.close(write)
    assert os.read(read, 100) == b"all of it"
    os.close(read)


def test_closing_one_that_cannot_write_drops_the_rest() -> None:
    read, write = os.pipe()
    threads = set(threading.enumerate())
    output = Output(write)
    output.write(b"x" * LIMIT)
    output.notify_when(0)
    output.close()
    writers = set(threading.enumerate()) - threads
    got: list[bytes] = []
    thread = collect(read, got)
    for writer in writers:
        writer.join(PATIENCE)
        assert not writer.is_alive()
    os.close(write)
    thread.join()
    os.close(read)
    assert len(b"".join(got)) < LIMIT


def test_an_error_is_kept_and_told() -> None:
    read, write = os.pipe()
    os.close(read)
    output = Output(write)
    output.write(b"x")
    assert select.select([output], [], [], PATIENCE)[0]
    assert isinstance(output.error, BrokenPipeError)
    output.write(b"dropped")
    assert output.empty
    os.close(write)


def test_input_ends_with_one_ctrl_d() -> None:
    read, write = os.pipe()
    os.write(write, b"x" * (CHUNK + 1))
    os.close(write)
    source = Input(read)
    assert source.fileno() == read
    assert [len(source.read()) for _ in range(2)] == [CHUNK, 1]
    assert source.read() == b""
    assert source.fileno() == -1
    assert source.end_of_input() == END_OF_INPUT
    os.close(read)


def test_input_that_cannot_be_read_is_at_its_end() -> None:
    source = Input(os.open("/", os.O_RDONLY))
    fd = source.fileno()
    assert source.read() == b""
    assert source.fileno() == -1
    os.close(fd)
