"""How much may wait for one model: a bound on images, on bytes, and on the seconds they take."""

from __future__ import annotations

from service.errors import Overloaded

# Of the time that a request has left, what its run may be expected to begin and end in. The rest
# is for writing the answer, and for estimates that were too low.
_SHARE = 0.5
# Seconds of work that nearly everybody waits for.
_LONG = 0.05


class Backlog:
    """What waits for one model, in all of its queues.

    `seconds` is the expected time of the work that waits or runs, by the measured rate of each
    queue: by it a request that would be answered too late is refused while that is still cheap.
    """

    def __init__(self, *, max_images: int, max_bytes: int) -> None:
        self._max_images = max_images
        self._max_bytes = max_bytes
        self.images = 0
        self.bytes = 0
        self.seconds = 0.0

    @property
    def crowded(self) -> bool:
        """Whether it is worth asking `admit` before anything of a request is read."""
        half = 2 * self.images > self._max_images or 2 * self.bytes > self._max_bytes
        return self.seconds > _LONG or half

    def admit(self, images: int, size: int, seconds: float, left: float) -> None:
        """Lets a request of so many images, bytes and expected seconds wait; counts nothing yet.

        `left` is the seconds until its deadline. Where nothing waits, everything is let in: a
        request that is larger than the bounds still has its turn, and a wrong estimate is soon
        mended.

        Raises:
            Overloaded: it would exceed a bound, or be answered too late.
        """
        if not self.images:
            return
        if self.images + images > self._max_images:
            why = f"{self.images} images wait for this model, and at most {self._max_images} may"
            over = self.images + images - self._max_images
            raise Overloaded.after(
                self.seconds * min(1.0, over / self.images), why, reason="queue_images"
            )
        if self.bytes + size > self._max_bytes:
            why = f"{self.bytes} bytes wait for this model, and at most {self._max_bytes} may"
            over = self.bytes + size - self._max_bytes
            raise Overloaded.after(
                self.seconds * min(1.0, over / self.bytes), why, reason="queue_bytes"
            )
        expected, left = self.seconds + seconds, _SHARE * left
        if expected > left:
            why = (
                f"{self.images} images wait for this model, about {self.seconds:.3g} s of work, "
                "and the answer would come too late"
            )
            raise Overloaded.after(expected - left, why, reason="late")

    def add(self, images: int, size: int, seconds: float) -> None:
        """Something waits now."""
        self.images += images
        self.bytes += size
        self.seconds += seconds

    def remove(self, images: int, size: int) -> None:
        """It waits no more: it runs, or was dropped."""
        self.images -= images
        self.bytes -= size

    def done(self, seconds: float) -> None:
        """What was expected to take so long ran, or was dropped."""
        self.seconds = max(0.0, self.seconds - seconds)
