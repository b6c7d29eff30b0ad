import pytest

from scsystems.train.parallel.pace import LONGEST_PAUSE, PAUSE, Pace


@pytest.mark.parametrize("share", [0.5, 0.8, 0.93])
def test_all_take_part_as_long_as_it_is_faster(share):
    pace = Pace()
    for _ in range(1000):
        assert pace.together()
        pace.note(share * 3.0, 3.0)


def test_one_goes_on_alone_where_it_is_not_and_tries_again():
    pace, steps = Pace(), []
    for _ in range(5 * PAUSE):
        steps.append(pace.together())
        if steps[-1]:
            pace.note(1.02, 1.0)
    # a few late minibatches are no reason, and trying costs little
    first = steps.index(False)
    assert 3 <= first <= 20
    assert steps[first : first + PAUSE - 1] == [False] * (PAUSE - 1)
    assert steps[first + PAUSE]
    assert sum(steps) < 0.1 * len(steps)


def test_a_late_step_now_and_then_is_no_reason():
    pace = Pace()
    for i in range(1000):
        assert pace.together()
        pace.note(100.0 if i % 20 == 0 else 0.6, 1.0)


def test_all_take_part_again_when_the_core_is_free():
    pace, busy, steps = Pace(), True, []
    for i in range(4 * PAUSE):
        busy = i < PAUSE
        steps.append(pace.together())
        if steps[-1]:
            pace.note(1.1 if busy else 0.6, 1.0)
    assert all(steps[-2 * PAUSE :])


def test_what_does_not_pay_is_tried_less_and_less_until_it_does():
    pace = Pace()

    def pause():
        """Steps that one does alone until the others are tried again."""
        while pace.together():
            pace.note(1.2, 1.0)
        n = 1
        while not pace.together():
            n += 1
        return n

    assert [pause() for _ in range(5)] == [PAUSE * 2**n - 1 for n in range(4)] + [LONGEST_PAUSE - 1]
    for _ in range(50):
        assert pace.together()
        pace.note(0.55, 1.0)
    assert pause() == PAUSE - 1
