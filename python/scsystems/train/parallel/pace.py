"""Whether processes that wait for one another are faster than one alone, as measured."""

from __future__ import annotations

# how much a new observation counts
SHARE = 0.1
# together must take less than this fraction of the time of one alone, and this much is assumed at first
LARGEST, START = 0.95, 0.8
# where it is below this, being together pays
PAYS = 0.7
# one step that is later than this says no more: the first may include compilation
LATE = 1.5
# steps that one does alone before the others are tried again; twice as many each time that this
# has not paid, up to the second
PAUSE, LONGEST_PAUSE = 200, 1600


class Pace:
    """Decides, step by step, from the time that steps take.

    Where another program has a core, the process on it is late, and the others wait.
    """

    def __init__(self) -> None:
        self.ratio, self.pause, self.next_pause = START, 0, PAUSE

    def together(self) -> bool:
        """Whether the next step is for all processes."""
        self.pause = max(0, self.pause - 1)
        return self.pause == 0

    def note(self, together: float, alone: float) -> None:
        """Seconds that a step has taken, and that it would have taken one process alone."""
        self.ratio += SHARE * (min(together / alone, LATE) - self.ratio)
        if self.ratio > LARGEST:
            self.ratio, self.pause = START, self.next_pause
            self.next_pause = min(2 * self.next_pause, LONGEST_PAUSE)
        elif self.ratio < PAYS:
            self.next_pause = PAUSE
