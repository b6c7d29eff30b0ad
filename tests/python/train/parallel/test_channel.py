"""Messages, long ones too, and waiting that ends."""

from contextlib import ExitStack
from threading import Thread
from time import perf_counter, sleep

import pytest

from scsystems.train.parallel import channel
from scsystems.train.parallel.channel import Patience, Silence, receive, send

# more than the system keeps for the other end
LONG = bytes(range(256)) * 2**15


@pytest.fixture
def ends(monkeypatch):
    monkeypatch.setattr(channel, "LOOK", 0.02)
    with ExitStack() as stack:
        yield [stack.enter_context(end) for end in channel.channel()]


def test_messages_arrive_whole_and_in_order(ends):
    ours, theirs = ends
    answers = []

    def answer():
        for _ in range(3):
            answers.append(receive(theirs))
            send(theirs, answers[-1])

    thread = Thread(target=answer)
    thread.start()
    for message in (b"", b"a", LONG):
        send(ours, message, Patience(60))
        assert receive(ours, Patience(60)) == message
    thread.join()
    assert answers == [b"", b"a", LONG]


def test_an_end_that_waits_for_ever_does_so_whatever_python_is_told(monkeypatch):
    monkeypatch.setattr("socket.getdefaulttimeout", lambda: 0.01)
    for end, expected in zip(channel.channel(), (channel.LOOK, None), strict=True):
        with end:
            assert end.gettimeout() == expected


def test_silence_ends_waiting_for_several(ends):
    start, patience = perf_counter(), Patience(0.2)
    for _ in range(2):
        with pytest.raises(Silence):
            receive(ends[0], patience)
    assert 0.2 <= perf_counter() - start < 5
    # what is there is taken even so
    send(ends[1], b"late")
    assert receive(ends[0], patience) == b"late"


def test_a_message_that_nobody_takes_ends_waiting(ends):
    with pytest.raises(Silence):
        send(ends[0], LONG, Patience(0.1))


def test_time_in_which_the_program_stands_still_is_one_look(ends, monkeypatch):
    ours, theirs = ends

    class Asleep:
        """A socket whose first look takes longer than all patience."""

        def recv_into(self, buffer):
            if not answered:
                sleep(0.3)
                answered.append(True)
                send(theirs, b"awake")
                raise TimeoutError
            return ours.recv_into(buffer)

    answered = []
    assert receive(Asleep(), Patience(0.1)) == b"awake"


def test_an_end_that_is_closed_is_an_error(ends):
    ours, theirs = ends
    theirs.close()
    with pytest.raises(OSError, match="has ended"):
        receive(ours, Patience(60))
    with pytest.raises(OSError):
        send(ours, b"a", Patience(60))
