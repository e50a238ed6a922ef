"""The results as a bar chart: SVG written by hand, for light and dark pages."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from tests.benchmarks.results import Result

_WIDTH = 860
_LABELS = 400
_BARS = 330
_ROW = 30
_THICK = 18
_TOP = 58
_MOST = 1.6  # times the target; longer bars are cut, and their number says so
_STYLE = """
  text { font: 13px system-ui, -apple-system, "Segoe UI", sans-serif; fill: #1f2328; }
  .small { font-size: 11px; fill: #59636e; }
  .title { font-size: 15px; font-weight: 600; }
  .pass { fill: #1a7f64; }
  .miss { fill: #bc4c00; }
  .spread { stroke: #1f2328; stroke-width: 1.5; }
  .limit { stroke: #59636e; stroke-width: 1.5; stroke-dasharray: 4 3; }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3; }
    .small { fill: #9198a1; }
    .pass { fill: #3fb68b; }
    .miss { fill: #f0883e; }
    .spread { stroke: #e6edf3; }
    .limit { stroke: #9198a1; }
  }
"""


def chart(results: Sequence[Result], machine: str) -> str:
    """A bar for each result: its median as a share of the limit, a whisker from least to most."""
    height = _TOP + _ROW * len(results) + 44
    title = "Cost as a share of its target: left of the line is within"
    limit_x = _LABELS + _BARS / _MOST
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img">',
        f"<title>{title}</title>",
        f"<style>{_STYLE}</style>",
        f'<text class="title" x="0" y="18">{title}</text>',
        f'<text class="small" x="{limit_x:.0f}" y="{_TOP - 12}" text-anchor="middle">target</text>',
    ]
    for number, result in enumerate(results):
        lines += _bar(result, _TOP + _ROW * number)
    bottom = _TOP + _ROW * len(results)
    lines += [
        f'<line class="limit" x1="{limit_x:.1f}" x2="{limit_x:.1f}" y1="{_TOP - 6}" y2="{bottom}"/>',
        *(
            f'<text class="small" x="0" y="{bottom + 20 + 15 * number}">{escape(part)}</text>'
            for number, part in enumerate(_halves(machine))
        ),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def _bar(result: Result, top: int) -> list[str]:
    share = result.median / result.limit
    length = _length(share)
    low, high = (
        _LABELS + _length(value / result.limit) for value in (min(result.values), max(result.values))
    )
    digits = 0 if result.unit == "MiB" else 2
    words = f"{result.median:.{digits}f} of {result.limit:g} {result.unit}"
    middle = top + _ROW / 2 - 3
    kind = "pass" if result.passed else "miss"
    lines = [
        f'<text x="{_LABELS - 12}" y="{middle + 5}" text-anchor="end">{escape(result.name)}</text>',
        f'<rect class="{kind}" x="{_LABELS}" y="{top + 3}" width="{length:.1f}" height="{_THICK}" rx="3"/>',
        f'<text class="small" x="{_LABELS + _BARS + 10}" y="{middle + 4}">{words}</text>',
    ]
    if high - low > 1:
        lines.append(f'<line class="spread" x1="{low:.1f}" x2="{high:.1f}" y1="{middle}" y2="{middle}"/>')
    return lines


def _length(share: float) -> float:
    return max(0.0, min(share, _MOST)) * _BARS / _MOST


def _halves(text: str) -> tuple[str, str]:
    words = text.split(", ")
    middle = (len(words) + 1) // 2
    return ", ".join(words[:middle]), ", ".join(words[middle:])
