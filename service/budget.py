"""What all requests of a process may hold together: their number, and the bytes they brought."""

from __future__ import annotations

from dataclasses import dataclass

from service.errors import Overloaded


@dataclass(slots=True)
class Budget:
    """What is held now, what may be, and how long a request holds its part."""

    max_requests: int
    max_bytes: int
    requests: int = 0
    bytes: int = 0
    seconds: float = 0.1  # a moving average of a request's whole time

    def check(self) -> None:
        """Refuses a request while that is cheapest: before anything of its body is read.

        Raises:
            Overloaded: as many requests are under way as may be.
        """
        if self.requests >= self.max_requests:
            why = f"{self.requests} requests are under way, and no more may be"
            raise Overloaded.after(self.seconds / self.requests, why, reason="requests")


class Share:
    """What one request holds of the budget, until `release`."""

    held = 0  # bytes
    counted = False  # among the requests that are under way

    def __init__(self, budget: Budget) -> None:
        self.budget = budget

    def hold(self, size: int) -> None:
        """Holds so many bytes more.

        Raises:
            Overloaded: all requests together would hold more than they may.
        """
        budget = self.budget
        held = budget.bytes + size
        if held > budget.max_bytes and held > size:  # one alone may be as large as it likes
            why = f"{budget.bytes} bytes of requests are held, and {budget.max_bytes} may be"
            raise Overloaded.after(budget.seconds, why, reason="bytes")
        budget.bytes = held
        self.held += size

    def begin(self, size: int) -> None:
        """The last of its body is there, so many bytes: it is under way.

        Only now, since slow uploads must not fill the places of others.

        Raises:
            Overloaded: as `hold`, or as many requests are under way as may be.
        """
        self.hold(size)
        budget = self.budget
        if not self.counted:
            if budget.requests >= budget.max_requests:
                budget.check()
            budget.requests += 1
            self.counted = True

    def release(self, seconds: float) -> None:
        """The request is over, after so many seconds."""
        budget = self.budget
        budget.bytes -= self.held
        if self.counted:
            budget.requests -= 1
            budget.seconds += 0.05 * (seconds - budget.seconds)
