"""Charts of the reports as SVG: readable without colour, nothing in them from elsewhere."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any
from xml.etree.ElementTree import Element

import pygal
from pygal.style import Style

from service.core.reports import DepartmentHires, QuarterlyHires

# For plugins that we do not have, pygal adds a finder of the old kind; Python would warn of it at
# every import from here on.
sys.meta_path[:] = [
    finder for finder in sys.meta_path if not isinstance(finder, pygal.PluginImportFixer)
]

QUARTERS = ("Q1", "Q2", "Q3", "Q4")
MOST_BARS = 40
"""A chart of more can be read by nobody; the tables have them all."""
LONGEST_NAME = 32

PATTERNS = (
    "",
    '<path d="M0 8L8 0M-2 2L2 -2M6 10L10 6" stroke="#10243e" stroke-width="1.3"/>',
    '<circle cx="4" cy="4" r="1.5" fill="#10243e"/>',
    '<path d="M0 4H8M4 0V8" stroke="#10243e" stroke-width="1"/>',
)
COLOURS = ("#a9c7ec", "#f3cf94", "#b5dfc0", "#e3bce4")
CSS = """
.bar .rect, .legends rect { fill-opacity: 1; stroke: #10243e; stroke-width: 1 }
.text-overlay text.value { paint-order: stroke; stroke: #fff !important; stroke-width: 3px }
.on-top .major.guide.line { stroke: #d93025 !important; stroke-width: 3 }
@media (prefers-color-scheme: dark) {
  svg, .graph > .background, .plot > .background { fill: #15181c !important; background: #15181c }
  .title, .axis text, .axis text.major, .legends .legend text, text.no_data { fill: #f2f4f7 }
  .axis .line, .axis .guide.line, .axis .major.guide.line { stroke: #aeb6c1 }
}
""" + "\n".join(
    f".bars .rect.fill-{at}, .legends rect.color-{at} {{ fill: url(#fill-{at}) }}"
    for at in range(len(COLOURS))
)
LOOK = Style(
    background="#ffffff",
    plot_background="#ffffff",
    foreground="#1a1d21",
    foreground_strong="#000000",
    foreground_subtle="#4a5058",
    colors=COLOURS,
    value_colors=("#000000",) * len(COLOURS),
    font_family="sans-serif",
    title_font_size=18,
    label_font_size=13,
    major_label_font_size=13,
    legend_font_size=14,
    value_font_size=12,
    major_guide_stroke_dasharray="9,4",
    transition="0s",
)


def hires_by_quarter(rows: Sequence[QuarterlyHires], year: int | None) -> bytes:
    """Hires of each department, its quarters stacked; the departments that hired most."""
    totals = {quarter: _totals(rows, quarter) for quarter in QUARTERS}
    hired = _totals(rows, *QUARTERS)
    names = [name for name, _ in hired.most_common(MOST_BARS)]
    chart = _chart(f"Hires by quarter{_of(year)}", names)
    for quarter in QUARTERS:
        chart.add(quarter, [totals[quarter][name] or None for name in reversed(names)])
    return bytes(chart.render())


def departments_above_mean(rows: Sequence[DepartmentHires], year: int | None, mean: float) -> bytes:
    """The departments above the mean, and the mean as a line; those that hired most."""
    shown = rows[:MOST_BARS]
    title = f"Departments above the mean of {mean:,.1f} hires{_of(year)}"
    chart = _chart(title, [row.department for row in shown])
    highest = max((row.hired for row in shown), default=1)
    chart.range = (0, highest * 1.05)
    chart.y_labels = [
        {"value": 0, "label": "0"},
        {"value": mean, "label": f"mean {mean:,.1f}"},
    ]
    chart.y_labels_major = [mean]
    chart.show_legend = False
    chart.add_xml_filter(_with_lines_on_top)
    chart.add("Hires", [row.hired for row in reversed(shown)])
    return bytes(chart.render())


def _totals(rows: Sequence[QuarterlyHires], *quarters: str) -> Counter[str]:
    """Hires by department, in the order of the rows: it decides between equal counts."""
    counter: Counter[str] = Counter()
    for row in rows:
        counter[row.department] += sum(getattr(row, quarter) for quarter in quarters)
    return counter


def _of(year: int | None) -> str:
    return f", {year}" if year else ""


def _chart(title: str, names: Sequence[str]) -> Any:
    """An empty chart of horizontal bars, the first name on top."""
    chart = pygal.HorizontalStackedBar(
        title=title,
        css=("file://style.css", "file://graph.css", f"inline:{CSS}"),
        defs=[_pattern(at) for at in range(len(COLOURS))],
        style=LOOK,
        js=(),
        width=900,
        height=130 + 30 * max(2, len(names)),
        legend_at_bottom=True,
        legend_at_bottom_columns=len(QUARTERS),
        print_values=True,
        print_zeroes=False,
        no_prefix=True,
        no_data_text="No hires",
        truncate_label=LONGEST_NAME,
        value_formatter=lambda value: f"{value:,.0f}",
    )
    chart.x_labels = list(reversed(names))
    chart.add_xml_filter(_clean)
    return chart


def _pattern(at: int) -> str:
    return (
        f'<pattern id="fill-{at}" width="8" height="8" patternUnits="userSpaceOnUse">'
        f'<rect width="8" height="8" fill="{COLOURS[at]}"/>{PATTERNS[at]}</pattern>'
    )


def _clean(root: Element) -> Element:
    """Without scripts, tool tips that need them, comments and random ids; the bars patterned."""
    for parent in list(root.iter()):
        for child in list(parent):
            scripted = child.tag == "script" or "tooltip-overlay" in child.get("class", "")
            if scripted or not isinstance(child.tag, str):
                parent.remove(child)
    root.attrib.pop("id", None)
    root.set("role", "img")
    for at in range(len(COLOURS)):
        for bar in root.iterfind(f".//g[@class='series serie-{at} color-{at}']//rect"):
            bar.set("class", f"rect fill-{at}")
    return root


def _with_lines_on_top(root: Element) -> Element:
    """The axis of values drawn over the bars."""
    for plot in root.iterfind(".//g[@class='plot']"):
        for axis in plot.findall("g[@class='axis x always_show']"):
            plot.remove(axis)
            axis.set("class", "axis x always_show on-top")
            plot.append(axis)
    return root
