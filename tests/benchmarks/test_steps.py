"""Steps are counted the same every time, and every answer that is counted is a good one."""

from __future__ import annotations

import re

import uvloop

from benchmarks import steps


def test_the_steps_of_a_picture_are_the_same_every_time():
    tables = [steps.table(uvloop.run(steps.count(2, 3)), 6) for _ in range(2)]
    first, second = (re.search(r"\| all \| (\d+) \| (\d+) \|", table) for table in tables)
    assert abs(int(first[1]) - int(second[1])) <= 0.02 * int(first[1])
    assert 2000 < int(first[1]) < 9000
    for file in ("service/connections.py", "service/png.py", "service/batching.py"):
        assert f"| {file} |" in tables[0]
