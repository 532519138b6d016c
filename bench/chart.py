"""Rows into an SVG: bars of operations a second, a group for each load, a line from the slowest round to the best."""

from collections.abc import Sequence
from xml.sax.saxutils import escape

from bench.rows import Row
from bench.tables import size_text

_COLOURS = {"raftsdk": "#1b6ca8", "hashicorp/raft": "#d9a441", "openraft": "#b5651d", "etcd": "#5a8f5a"}
_OTHER_COLOUR = "#8a8a8a"
_LABEL_PX = 230
_BAR_PX = 16
_LINE_PX = 20
_GROUP_PX = 24
_WIDTH_PX = 900
_FIGURES_PX = 190


def chart(title: str, rows: Sequence[Row]) -> str:
    """All rows, to one scale."""
    longest = max(row.max_operations_per_s for row in rows)
    scale = (_WIDTH_PX - _LABEL_PX - _FIGURES_PX) / longest
    parts = [_text(10, 20, title, "bold")]
    y_px = 26
    for label, group in _groups(rows).items():
        y_px += _GROUP_PX
        parts.append(_text(10, y_px - 6, label, "bold"))
        for row in group:
            parts += _bar(y_px, row, scale)
            y_px += _LINE_PX
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH_PX}" height="{y_px + 10}" font-family="sans-serif"'
    ground = f'<rect width="{_WIDTH_PX}" height="{y_px + 10}" fill="white"/>'
    return "\n".join([head + ' font-size="12">', ground, *parts, "</svg>", ""])


def _groups(rows: Sequence[Row]) -> dict[str, list[Row]]:
    groups: dict[str, list[Row]] = {}
    for row in rows:
        who = ("reader" if row.reads else "writer") + ("s" if row.writers > 1 else "")
        groups.setdefault(f"{row.writers:,} {who}, {size_text(row.value_bytes)}", []).append(row)
    return groups


def _bar(y_px: int, row: Row, scale: float) -> list[str]:
    length_px = max(round(row.operations_per_s * scale), 1)
    low_px, high_px = (_LABEL_PX + round(rate * scale) for rate in (row.min_operations_per_s, row.max_operations_per_s))
    middle_px = y_px + _BAR_PX // 2
    colour = _COLOURS.get(row.system.partition(",")[0], _OTHER_COLOUR)
    figures = f"{row.operations_per_s:,.0f}/s · p50 {row.p50_ms:.2f} ms"
    return [
        _text(20, y_px + 12, row.system),
        f'<rect x="{_LABEL_PX}" y="{y_px}" width="{length_px}" height="{_BAR_PX}" fill="{colour}"/>',
        f'<path d="M{low_px} {middle_px}H{high_px}" stroke="black"/>',
        _text(max(_LABEL_PX + length_px, high_px) + 6, y_px + 12, figures),
    ]


def _text(x_px: int, y_px: int, text: str, weight: str = "normal") -> str:
    return f'<text x="{x_px}" y="{y_px}" font-weight="{weight}">{escape(text)}</text>'
