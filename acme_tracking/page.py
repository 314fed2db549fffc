"""A report for people: one HTML page with all its figures, tables and pictures inside."""
from __future__ import annotations

import base64
from html import escape
import io
from pathlib import Path

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2733; max-width: 1120px; margin: 2rem auto;
       padding: 0 1.2rem; background: #fff; }
h1 { font-size: 1.7rem; margin-bottom: .2rem; } h2 { margin-top: 2.4rem; font-size: 1.25rem; }
.lead { font-size: 1.1rem; background: #eef4fa; border-left: 4px solid #0072b2;
        padding: .7rem 1rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8rem 0; }
.wide { overflow-x: auto; }
th, td { padding: .3rem .4rem; font-size: .82rem; text-align: right;
         border-bottom: 1px solid #dde3ea; }
th { background: #f5f7f9; font-weight: 600; } th:first-child, td:first-child { text-align: left; }
td.best { font-weight: 700; color: #00543d; background: #e8f6f0; }
img { max-width: 100%; height: auto; } .row { display: flex; flex-wrap: wrap; gap: 1rem; }
.half { flex: 1 1 400px; } figure { margin: 0; flex: 1 1 300px; max-width: 340px; }
.note, figcaption, dd { color: #56626f; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1rem; font-size: .92rem; }
dt { font-weight: 600; } dd { margin: 0; } pre { background: #f5f7f9; padding: .8rem;
overflow-x: auto; font-size: .85rem; } details { margin: .6rem 0; }
"""


def write(path, title: str, parts) -> Path:
    """Write parts, strings of HTML, as one page below its title; return the path."""
    path = Path(path)
    path.write_text('<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
                    f'<title>{escape(title)}</title><style>{STYLE}</style></head><body>'
                    f'<h1>{escape(title)}</h1>\n' + '\n'.join(parts) + '\n</body></html>\n')
    return path


def heading(words: str) -> str:
    """Return a heading."""
    return f'<h2>{escape(words)}</h2>'


def text(words: str) -> str:
    """Return a paragraph."""
    return f'<p>{escape(words)}</p>'


def table(header, rows) -> str:
    """Return a table of anything that has words; the first column names the row."""
    lines = [''.join(f'<th>{escape(str(cell))}</th>' for cell in header)]
    lines += [''.join(f'<td>{escape(str(cell))}</td>' for cell in row) for row in rows]
    return '<table>' + ''.join(f'<tr>{line}</tr>' for line in lines) + '</table>'


def plot(figure) -> str:
    """Return a matplotlib figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format='png', dpi=90)
    return picture(buffer.getvalue(), 'png', 'curves')


def picture(content: bytes, kind: str, what: str = 'picture') -> str:
    """Return a picture from the bytes of its file; `kind` is png or jpeg, `what` it shows."""
    data = base64.b64encode(content).decode()
    return f'<img alt="{escape(what)}" src="data:image/{kind};base64,{data}">'
