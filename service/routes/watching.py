"""Over who waits for an answer: it is over when the deadline comes or the caller leaves.

Nearly every answer is there before anybody could have left, and a task for each to watch over it
would take longer than a small model's run; even a timer for each takes as long as its headers. So
one timer looks at all that run, and has a task watch over each that it sees for the second time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable
from typing import TypeVar

from fastapi import Request
from starlette.requests import ClientDisconnect

from service import deadlines
from service.errors import DeadlineExceeded, RequestError
from service.visit import Visit

T = TypeVar("T")
Task = asyncio.Task[object]

_INTERVAL = 0.05  # seconds between two looks


class Watch:
    """The requests whose answers are being made, on one event loop."""

    def __init__(self) -> None:
        self._unseen: dict[Task, tuple[Request, Visit]] = {}
        self._seen: dict[Task, tuple[Request, Visit]] = {}
        self._watched: dict[Task, Task] = {}  # and what watches over each
        self._timer: asyncio.TimerHandle | None = None

    async def over(self, request: Request, visit: Visit, answer: Awaitable[T]) -> T:
        """The answer, unless the deadline comes or the caller leaves first.

        What it still has in a queue is dropped then.

        Raises:
            DeadlineExceeded: the deadline came.
            ClientDisconnect: the caller left.
            RequestError: more of a body came than is taken.
        """
        task = asyncio.current_task()
        assert task is not None
        self._unseen[task] = request, visit
        if self._timer is None:
            self._timer = task.get_loop().call_later(_INTERVAL, self._look)
        if visit.deadline - time.monotonic() < 2 * _INTERVAL:
            self._begin(task)
        try:
            return await answer
        except DeadlineExceeded:  # it passed in the queue
            raise _too_late(visit) from None
        except asyncio.CancelledError:
            if visit.over is None:
                raise
            task.uncancel()
            raise visit.over from None
        finally:
            if self._unseen.pop(task, None) is None and self._seen.pop(task, None) is None:
                self._watched.pop(task).cancel()

    def _look(self) -> None:
        for task in list(self._seen):
            self._begin(task)
        self._seen, self._unseen = self._unseen, {}
        again = self._seen and asyncio.get_running_loop().call_later(_INTERVAL, self._look)
        self._timer = again or None

    def _begin(self, task: Task) -> None:
        request, visit = (self._seen if task in self._seen else self._unseen).pop(task)
        self._watched[task] = asyncio.create_task(_watch(task, request, visit))


async def _watch(task: Task, request: Request, visit: Visit) -> None:
    try:
        async with asyncio.timeout(visit.deadline - time.monotonic()):
            while (await request.receive())["type"] != "http.disconnect":
                pass  # a body that the route did not ask for
        visit.over = ClientDisconnect()
    except TimeoutError:
        visit.over = _too_late(visit)
    except RequestError as error:  # a body that nobody reads may be more than is taken
        visit.over = error
    task.cancel()


def _too_late(visit: Visit) -> DeadlineExceeded:
    return DeadlineExceeded(
        f"no answer within {visit.allowed:g} s: send fewer or smaller images, allow more time "
        f"({deadlines.HEADER}), or try again later"
    )
