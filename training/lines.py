"""Dataclasses that print themselves as they are written in a table.

What has no default stands in its place, the rest by name, and what was left as it is not at all.

So the manifest records the very line of the recipe, and a field that is added later, with a
default, does not make a stranger of every run that came before it.
"""

from __future__ import annotations

from dataclasses import MISSING, Field, fields
from typing import Any, ClassVar


class Line:
    """To be inherited by dataclasses declared with `repr=False`."""

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]

    def __repr__(self) -> str:
        words = []
        for field in fields(self):
            value = getattr(self, field.name)
            if field.default is MISSING:
                words.append(repr(value))
            elif value != field.default:
                words.append(f"{field.name}={value!r}")
        return f"{type(self).__name__}({', '.join(words)})"
