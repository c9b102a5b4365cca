"""Query parameters that several routes have."""

from __future__ import annotations

import difflib
from typing import Annotated

from fastapi import Query, Request

from service.errors import Unprocessable
from service.images import Fit

ModelQuery = Annotated[
    str, Query(description="a model's name, or `auto`: the best that takes the image as it is")
]
VersionQuery = Annotated[int | None, Query(ge=1, description="default: the highest")]
FitQuery = Annotated[
    Fit, Query(description="`exact` refuses a wrong size; `resize` resamples to the model's")
]
QualityQuery = Annotated[bool, Query(description="measure MSE, PSNR, SSIM and SNR")]
SeedQuery = Annotated[
    int | None,
    Query(ge=0, lt=2**63, description="repeats the same random numbers; the answer names it"),
]


async def known_options(request: Request) -> None:
    """Refuses a query parameter that the route does not have: a slip must not go unnoticed.

    Raises:
        Unprocessable: there is one; the detail has the closest that there is.
    """
    known = [parameter.alias for parameter in request.scope["route"].dependant.query_params]
    for name in request.query_params:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there is {', '.join(known)}"
            raise Unprocessable(f"there is no option {name[:40]!r} here: {hint}")
