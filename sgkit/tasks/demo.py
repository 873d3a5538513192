"""The page that a demo ends in: pictures, captions, commands and times in one HTML file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sgkit.reports.pages import Section, html_page


def demo_page(title: str, lead: str, sections: Sequence[Section], *, facts: Mapping[str, str]) -> str:
    """A whole HTML page, a numbered section for each step. Pictures are inside it, and it runs no script.

    Args:
        lead: a sentence under the title.
        facts: names and values shown at the top.
    """
    return html_page(title, lead, sections, facts=facts, numbered=True)
