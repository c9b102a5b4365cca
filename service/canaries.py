"""Each model's known image through its real queue: does it still give the known answer?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable

from service.errors import Overloaded
from service.metrics import Metrics
from service.served import Served

OK, BUSY = "ok", "busy: its queue is long, and its runs go on"
FINE = (OK, BUSY)
_GAP = 0.25  # seconds that an outcome is good for, so that asking often costs no more


class Canaries:
    """One check of all models at a time, however many ask for it."""

    def __init__(self, models: Iterable[Served], metrics: Metrics, *, patience: float) -> None:
        self._models = models
        self._metrics = metrics
        self._patience = patience
        self._flying: dict[Served, asyncio.Task[bool]] = {}
        self._check: asyncio.Task[dict[str, str]] | None = None
        self.began = 0.0
        self._ended = 0.0
        self.faulty_since: float | None = None

    async def check(self) -> dict[str, str]:
        """By NAME/VERSION: ok, busy, or what is wrong."""
        if self._check is None or (self._check.done() and time.monotonic() > self._ended + _GAP):
            self._check = asyncio.create_task(self._all())
        return await asyncio.shield(self._check)  # who asked may leave, the others wait on

    async def of(self, served: Served) -> str:
        """The same of one model, now."""
        card = served.manifest
        if served not in self._flying:
            self._flying[served] = asyncio.create_task(served.answers_as_known())
        canary = self._flying[served]
        done, _ = await asyncio.wait({canary}, timeout=self._patience)
        if done:
            self._flying.pop(served, None)
        outcome = _outcome(canary) if done else BUSY
        # Another verb's run may hang where the canary's does not; and a canary that waits while
        # nothing runs waits for ever.
        if outcome in FINE and (served.overdue(self._patience / 2) or (not done and served.idle)):
            outcome = f"late: no answer within {self._patience:g} s"
        if any(served is model for model in self._models):  # else its series has ended
            self._metrics.ready.labels(card.name, card.version).set(outcome in FINE)
        return outcome

    def overdue(self) -> bool:
        """Whether a run of any model should have ended long ago; asked without running anything."""
        return any(served.overdue(self._patience / 2) for served in self._models)

    async def close(self) -> None:
        """Ends the check that is under way."""
        if self._check:
            self._check.cancel()
            await asyncio.wait({self._check})

    async def _all(self) -> dict[str, str]:
        self.began = time.monotonic()
        models = list(self._models)
        for gone in self._flying.keys() - set(models):
            self._flying.pop(gone).cancel()
        checks = []
        async with asyncio.TaskGroup() as group:
            for served in models:
                checks.append(group.create_task(self.of(served)))
                await asyncio.sleep(0)  # all at once would hold up requests for 10 ms and more
        outcomes = [check.result() for check in checks]
        results = {m.manifest.key: outcome for m, outcome in zip(models, outcomes, strict=True)}
        self._ended = time.monotonic()
        if all(outcome in FINE for outcome in outcomes):
            self.faulty_since = None
        elif self.faulty_since is None:
            self.faulty_since = self.began
        return results


def _outcome(canary: asyncio.Task[bool]) -> str:
    try:
        return OK if canary.result() else "wrong: its known image gives another answer"
    except Overloaded:
        return BUSY
    except Exception as error:  # a check reports a fault, whatever it is
        return f"failed: {type(error).__name__}"
    except asyncio.CancelledError:  # unloaded meanwhile
        return OK
