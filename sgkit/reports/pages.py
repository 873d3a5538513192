"""Pages that show what was done: sections of text, commands, facts, figures, in one HTML file that asks no server.

The demo's page and a run's report are made of these parts.
"""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from sgkit.text import printable

KINDS = {".png": "image/png", ".webp": "image/webp", ".gif": "image/gif"}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A picture with its caption."""

    data: bytes
    kind: str
    """Its media type, such as ``image/png``."""
    width: int
    """Pixels on the page."""
    height: int
    caption: str
    is_enlarged: bool = False
    """Shown with hard edges between its pixels."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a page, under a heading."""

    title: str
    text: str = ""
    commands: tuple[str, ...] = ()
    """What to type to do the same."""
    figures: tuple[Figure, ...] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    seconds: float | None = None
    html: str = ""
    """What else the section shows, under its figures; not escaped."""
    details: tuple[str, str] | None = None
    """A title and text to be unfolded."""


def figure(path: Path, caption: str, *, enlarge: int = 1, width: int | None = None) -> Figure:
    """The picture in ``path``, shown ``enlarge`` times as large, or ``width`` pixels wide."""
    with Image.open(path) as image:
        own_width, own_height = image.size
    shown = width or own_width * enlarge
    return Figure(
        data=path.read_bytes(),
        kind=KINDS[path.suffix],
        width=shown,
        height=round(own_height * shown / own_width),
        caption=caption,
        is_enlarged=enlarge > 1,
    )


def html_page(
    title: str,
    lead: str,
    sections: Sequence[Section],
    *,
    facts: Mapping[str, str],
    style: str = "",
    script: str = "",
    numbered: bool = False,
) -> str:
    """A whole HTML page that asks no server for anything. It reads well in light and dark, and without the script.

    Args:
        lead: a sentence under the title.
        facts: names and values shown at the top.
        style: CSS beside that of all pages; its colours are the variables there.
        script: JavaScript that runs when all is there.
        numbered: the sections are steps.
    """
    contents = "".join(f'<a href="#{_anchor(section)}">{_text(section.title)}</a>' for section in sections)
    numbers = [f'<span class="number">{number}</span>' if numbered else "" for number in range(1, len(sections) + 1)]
    body = "\n".join(_section(number, section) for number, section in zip(numbers, sections, strict=True))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="generator" content="sgkit">
<title>{_text(title)}</title>
<style>{_STYLE}{style}</style>
</head>
<body>
<header>
<h1>{_text(title)}</h1>
<p class="lead">{_text(lead)}</p>
{_facts(facts)}
<nav>{contents}</nav>
</header>
<main>
{body}
</main>
{f"<script>{script}</script>" if script else ""}
</body>
</html>
"""


def _section(number: str, section: Section) -> str:
    time = "" if section.seconds is None else f'<span class="time">{_seconds(section.seconds)}</span>'
    commands = "".join(f"<pre><code>{_text(command)}</code></pre>" for command in section.commands)
    figures = "".join(_figure(one) for one in section.figures)
    details = ""
    if section.details is not None:
        summary, content = section.details
        details = f"<details><summary>{_text(summary)}</summary><pre><code>{_text(content)}</code></pre></details>"
    return f"""<section id="{_anchor(section)}">
<h2>{number}{_text(section.title)}{time}</h2>
{f"<p>{_text(section.text)}</p>" if section.text else ""}
{commands}
{_facts(section.facts)}
{f'<div class="figures">{figures}</div>' if figures else ""}
{section.html}
{details}
</section>"""


def _figure(figure: Figure) -> str:
    source = f"data:{figure.kind};base64,{base64.b64encode(figure.data).decode()}"
    style = ' class="enlarged"' if figure.is_enlarged else ""
    return (
        f'<figure><img src="{source}" width="{figure.width}" height="{figure.height}"{style} '
        f'alt="{_text(figure.caption)}"><figcaption>{_text(figure.caption)}</figcaption></figure>'
    )


def _facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    rows = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in facts.items())
    return f"<dl>{rows}</dl>"


def _anchor(section: Section) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in section.title.lower())


def _text(text: str) -> str:
    return html.escape(printable(text, limit=max(len(text), 1), lines=True), quote=True)


def _seconds(seconds: float) -> str:
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60} min {int(seconds) % 60} s"


_STYLE = """
:root { color-scheme: light dark; --paper: #fbfaf8; --card: #ffffff; --ink: #22262b; --soft: #646d78; --line: #e3e0da;
  --mark: #3b6b8f; --code: #f3f1ec; }
@media (prefers-color-scheme: dark) { :root { --paper: #16191d; --card: #1e2227; --ink: #e4e6e9; --soft: #9aa3ad;
  --line: #323841; --mark: #8ab8d9; --code: #14171a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
header, main { max-width: 68rem; margin: 0 auto; padding: 0 1.25rem; }
header { padding-top: 3rem; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.02em; }
.lead { font-size: 1.1rem; color: var(--soft); margin: 0 0 1.25rem; max-width: 48rem; }
nav { display: flex; flex-wrap: wrap; gap: .4rem; margin: 1.25rem 0 1.75rem; }
nav a { color: var(--mark); text-decoration: none; border: 1px solid var(--line); border-radius: 999px;
  padding: .15rem .8rem; font-size: .9rem; background: var(--card); }
nav a:hover { border-color: var(--mark); }
section { background: var(--card); border: 1px solid var(--line); border-radius: 12px; padding: 1.4rem 1.6rem;
  margin: 0 0 1.4rem; }
h2 { font-size: 1.3rem; margin: 0 0 .5rem; display: flex; align-items: center; gap: .7rem; }
.number { flex: none; width: 1.9rem; height: 1.9rem; border-radius: 50%; background: var(--mark); color: var(--card);
  font-size: .95rem; display: grid; place-items: center; }
.time { margin-left: auto; font-size: .85rem; font-weight: normal; color: var(--soft); white-space: nowrap; }
p { margin: .3rem 0 .8rem; max-width: 52rem; }
pre { background: var(--code); border: 1px solid var(--line); border-radius: 8px; padding: .6rem .9rem; margin: .5rem 0;
  white-space: pre-wrap; overflow-wrap: anywhere; font-size: .86rem; }
code { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
section > pre code::before { content: "$ "; color: var(--soft); user-select: none; }
dl { display: flex; flex-wrap: wrap; gap: .5rem 2rem; margin: .8rem 0; }
dt { font-size: .78rem; color: var(--soft); }
dd { margin: 0; font-variant-numeric: tabular-nums; }
.figures { display: flex; flex-wrap: wrap; gap: 1.2rem; margin-top: 1rem; }
figure { margin: 0; max-width: 100%; }
img { display: block; max-width: 100%; height: auto; border-radius: 6px; background: var(--code); }
img.enlarged { image-rendering: pixelated; }
figcaption { font-size: .86rem; color: var(--soft); margin-top: .4rem; width: 0; min-width: 100%; }
details { margin-top: 1rem; }
summary { cursor: pointer; color: var(--mark); }
"""
