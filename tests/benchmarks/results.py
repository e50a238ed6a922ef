"""What a measurement yields: ratios to judge, and the seconds behind them."""

from __future__ import annotations

from dataclasses import dataclass, field
from statistics import median


@dataclass(slots=True)
class Result:
    """One line of the table: a work, its limit, and a value for each round."""

    name: str
    limit: float
    unit: str
    floor: str
    """What the limit is a multiple of, in words."""
    values: list[float] = field(default_factory=list)
    parts: dict[str, list[float]] = field(default_factory=dict)
    """Everything the clock or the kernel said, a value a round."""

    def add(self, value: float, **parts: float) -> None:
        """Take in a round."""
        self.values.append(value)
        for name, part in parts.items():
            self.parts.setdefault(name, []).append(part)

    @property
    def median(self) -> float:
        """The value that is judged."""
        return median(self.values)

    @property
    def passed(self) -> bool:
        """Whether it is at or under its limit."""
        return self.median <= self.limit

    def part(self, name: str) -> float:
        """The median of a part."""
        return median(self.parts[name])
