"""`acme_tracking compare RUN RUN...`: finished runs of `evaluate` side by side."""
from __future__ import annotations

from pathlib import Path

from acme_tracking.evaluation.report import (
    COMPARISON,
    headlines,
    read_run,
    table,
    write_comparison,
)


def add_arguments(parser) -> None:
    """Describe the arguments of the verb."""
    parser.add_argument('runs', nargs='+', metavar='RUN', help='folders that evaluate wrote')
    parser.add_argument('--out', type=Path, default=Path(COMPARISON), metavar='HTML',
                        help='page to write (default: %(default)s)')


def run(arguments) -> int:
    """Print a table and write a page; return the exit status."""
    named = {run: read_run(run)[0] for run in arguments.runs}
    if len(named) < 2:
        raise ValueError('two different runs or more are needed to compare')
    print(table(headlines(named)))
    print(f'\nSee {write_comparison(arguments.runs, arguments.out)}.')
    return 0
