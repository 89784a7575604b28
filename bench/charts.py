"""Charts for the README: horizontal bars, as SVG that looks right on light and dark pages."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

__all__ = ["bars"]

_WIDTH, _LEFT, _RIGHT, _BAR, _GAP, _TOP = 720, 90, 90, 20, 8, 40
_OURS, _OTHERS = "#2f81f7", "#8b949e"


def bars(title: str, values: Mapping[str, float], unit: str) -> str:
    """One bar a contestant, ours first; a bar that would dwarf the others is cut and marked."""
    order = sorted(values, key=lambda name: (name != "Sheaf", values[name]))
    longest = min(max(values.values()), 12 * max(values.get("Sheaf", 0.0), min(values.values()))) or 1.0
    height = _TOP + len(order) * (_BAR + _GAP) + 8
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" role="img" '
        f'font-family="system-ui, sans-serif" font-size="13" fill="#8b949e">',
        f"<title>{escape(title)}</title>",
        f'<text x="8" y="22" font-size="15" font-weight="600">{escape(title)}</text>',
    ]
    for i, name in enumerate(order):
        parts += _bar(name, values[name], longest, _TOP + i * (_BAR + _GAP), unit)
    return "\n".join([*parts, "</svg>", ""])


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
