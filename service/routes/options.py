"""Query parameters that several routes have."""

from __future__ import annotations

from typing import Annotated

from fastapi import Query

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
