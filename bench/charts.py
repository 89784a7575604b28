"""Charts for the README: horizontal bars, as SVG that looks right on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from statistics import median

__all__ = ["bars", "grouped_bars"]

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TOP = 720, 90, 90, 20, 8, 40
_OURS, _OTHERS = "#2f81f7", "#8b949e"


def bars(title: str, values: Mapping[str, float], unit: str) -> str:
    """Draw one bar a contestant, ours first."""
    return grouped_bars(title, {"": values}, unit)


def grouped_bars(title: str, groups: Mapping[str, Mapping[str, float]], unit: str) -> str:
    """Draw a group of bars for each heading, on one scale; a bar that is much longer than most is cut and marked."""
    longest = _longest([value for values in groups.values() for value in values.values()])
    parts, y = [], _TOP
    for heading, values in groups.items():
        if heading:
            parts.append(f'<text x="8" y="{y + _BAR * 0.72:.0f}" font-weight="600">{escape(heading)}</text>')
            y += _BAR + _GAP
        for name in sorted(values, key=lambda name: (name != "Sheaf", values[name])):
            parts += _bar(name, values[name], longest, y, unit)
            y += _BAR + _GAP
        y += _GAP
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {y}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="#8b949e">',
        f"<title>{escape(title)}</title>",
        f'<text x="8" y="22" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _longest(values: list[float]) -> float:
    """The value of the longest bar."""
    return min(max(values), 6 * median(values)) or 1.0


def _bar(name: str, value: float, longest: float, y: int, unit: str) -> list[str]:
    room = _WIDTH - _LEFT - _RIGHT
    width = max(room * min(value / longest, 1.0), 1.0)
    color = _OURS if name == "Sheaf" else _OTHERS
    middle = y + _BAR * 0.72
    more = " …" if value > longest else ""
    return [
        f'<text x="{_LEFT - 8}" y="{middle:.0f}" text-anchor="end">{escape(name)}</text>',
        f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_BAR}" rx="3" fill="{color}"/>',
        f'<text x="{_LEFT + width + 6:.1f}" y="{middle:.0f}">{value:.3g} {escape(unit)}{more}</text>',
    ]
