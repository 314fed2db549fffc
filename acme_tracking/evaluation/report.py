"""
The report of a run, for someone who did not run it: one HTML file with all its pictures inside.

The same tables and plots put several runs side by side.
"""
from __future__ import annotations

from html import escape
import json
import os
from pathlib import Path
from urllib.parse import quote

from acme_tracking import page
from acme_tracking.evaluation import plots
from acme_tracking.evaluation.modes import MODES, ON_DEMAND, PEER_MODES
from acme_tracking.evaluation.run import METRICS, TIMINGS
from acme_tracking.evaluation.sequence_run import CALIBRATED, LIVE
from acme_tracking.evaluation.settings import differences

REPORT, COMPARISON = 'report.html', 'compare.html'
DESCRIPTIONS = {**MODES, LIVE: 'the nodes themselves, played in real time'}
# name: (key, format, whether more is better; None for what is neither, meaning)
COLUMNS = {
    'HOTA': ('hota', '.3f', True, 'finding and keeping objects apart, in one figure (0 to 1)'),
    'CNN': ('detector_share', '.1%', False, 'share of the images on which the CNN ran'),
    'DetA': ('deta', '.3f', True, 'the part of HOTA that is finding'),
    'AssA': ('assa', '.3f', True, 'the part of HOTA that is keeping identities'),
    'MOTA': ('mota', '.3f', True, '1 less misses, false boxes and switches per true box'),
    'IDF1': ('idf1', '.3f', True, 'boxes with the right identity'),
    'switches': ('id_switches', 'd', False, 'objects that went on under another id'),
    'fragments': ('fragments', 'd', False, 'times that an object was lost in between'),
    'success': ('success_auc', '.3f', True, 'area under the success curve, one track per object'),
    'precision': ('precision', '.3f', True, 'centres within 20 pixels, one track per object'),
    'normalised': ('normalised_precision', '.3f', True, 'the same in box sizes, area to 0.5'),
    'recovery': ('recovery_s', '.2f s', False, 'mean time from a loss to the recovery'),
    'lost': ('lost_for_good', 'd', False, 'objects lost and never found again while in view'),
    'birth': ('birth_s', '.2f s', False, 'median time from the first image of an object to the '
              'first of a track on it'),
    'unseen': ('never_followed', '.1%', False, 'share of the objects that no track was ever on'),
    'ECE': ('ece', '.3f', False, 'how far scores are from the truth they promise'),
}

# Of the table of positions: keys of the figures, and how they are written.
POSITION_COLUMNS = {
    'along': (('along_relative_median', 'along_relative_p95'), '{:.1%}, {:.1%}'),
    'across': (('lateral_m_median', 'lateral_m_p95'), '{:.2f}, {:.2f} m'),
    'time to contact': (('ttc_relative_median',), '{:.1%}'),
    'NEES': (('nees',), '{:.2f}'),
    'band': (('nees_band',), '{0[0]:.1f} to {0[1]:.1f}'),
    'known': (('known',), '{:.1%}'),
    'objects': (('objects',), '{}'),
}


def read_run(out) -> tuple[dict, dict]:
    """Return metrics.json and timings.json of a run; ValueError when it is none."""
    out = Path(out)
    try:
        return tuple(json.loads((out / name).read_text()) for name in (METRICS, TIMINGS))
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f'{out} is no finished run of acme_tracking evaluate: {error}') from error


def table(figures: dict[str, dict], columns=('HOTA', 'CNN', 'DetA', 'AssA', 'MOTA', 'IDF1',
                                             'switches', 'recovery', 'birth', 'unseen')) -> str:
    """Return figures by name as lines of text, for a terminal."""
    rows = [['', *columns]] + [[name, *(shown(found, column) for column in columns)]
                               for name, found in figures.items()]
    widths = [max(map(len, column)) for column in zip(*rows)]
    return '\n'.join('  '.join(cell.ljust(width) if not index else cell.rjust(width)
                               for index, (cell, width) in enumerate(zip(row, widths)))
                     for row in rows)


def shown(found: dict, column: str) -> str:
    """Return one figure as people read it; a dash where there is none."""
    key, form, _, _ = COLUMNS[column]
    value = found.get(key)
    if value is None:
        return '-'
    number, space, unit = form.partition(' ')
    return f'{value:{number}}{space}{unit}'


def worst_first(metrics: dict) -> dict[str, dict]:
    """Return the figures of the first mode on each bag by its name, those without any last."""
    figures = {name: bag['modes'][metrics['mode']] for name, bag in metrics['bags'].items()}
    return dict(sorted(figures.items(), key=lambda item: (
        item[1]['hota'] is None, item[1]['hota'], item[0])))


def write_report(out, recordings=None) -> Path:
    """
    Write `out`/report.html and its plots, and return its path.

    recordings: files that `acme_tracking view` shows, by the name of their bag.
    """
    out = Path(out)
    metrics, timings = read_run(out)
    results = {name: json.loads((out / 'bags' / name / 'result.json').read_text())
               for name in metrics['bags']}
    modes, first = metrics['modes'], metrics['mode']
    parts = [_about(metrics), _verdict(metrics),
             _figures('Headline', modes), _meanings(modes), _plots(out, modes)]
    if len(results) > 1:
        parts.append(_figures('Bag by bag', worst_first(metrics), _link,
                              f'All of {DESCRIPTIONS[first]}, the worst first.'))
    if modes[first].get('classes'):
        parts.append(_figures('Class by class', modes[first]['classes'],
                              note=f'Of {DESCRIPTIONS[first]}.  Here a box with the wrong class '
                              'is a wrong box; in the headline it is not.'))
    parts.append(_positions(modes))
    results = {name: results[name] for name in worst_first(metrics)}
    parts += [_bags(out, results, first, recordings or {}),
              _detector(metrics), _timings(timings), _settings(metrics)]
    return page.write(out / REPORT, 'How well are objects followed?', parts)


def write_comparison(runs, path) -> Path:
    """Write a page that puts the first mode of runs side by side; return its path."""
    named = {str(Path(run)): read_run(run)[0] for run in runs}
    figures = headlines(named)
    folder = Path(path).parent
    folder.mkdir(parents=True, exist_ok=True)
    first, *others = named.values()
    changes = ''.join(
        f'<li>{escape(name)}: {escape("; ".join(what) or "nothing")}</li>'
        for name, what in zip(list(named)[1:], (differences(
            other['settings'], first['settings']) for other in others)))
    parts = [_figures('Headline', figures), _meanings(figures),
             _plots(folder, figures, prefix='compare-'),
             f'<h2>What differs from {escape(next(iter(named)))}</h2><ul>{changes}</ul>']
    if len({tuple(metrics['bags']) for metrics in named.values()}) > 1:
        parts.insert(0, '<p class="lead">These runs are of different bags: their figures cannot '
                        'be compared.</p>')
    return page.write(path, 'Runs side by side', parts)


def headlines(named: dict[str, dict]) -> dict[str, dict]:
    """Return the figures of the first mode of each run, by the run's name and that mode."""
    return {f'{name} ({metrics["mode"]})': metrics['modes'][metrics['mode']]
            for name, metrics in named.items()}


def _about(metrics):
    bags = metrics['bags'].values()
    seconds = sum(bag['seconds'] for bag in bags)
    objects = sum(bag['truth']['objects'] for bag in bags if bag['truth'])
    labels = f'{objects} labelled objects' if objects else 'no ground truth'
    late = sum(bag['out_of_order'] for bag in bags)
    passed = f' {late} images were out of order and passed over.' if late else ''
    lost = metrics['lost_images']
    passed += f' Of {lost} images no tracks arrived: they count as without any.' if lost else ''
    return (f'<p class="note">{escape(", ".join(metrics["bags"]))}: {metrics["images"]} images, '
            f'{seconds:.1f} s, {labels}.{passed} Simulated latency of the detector: '
            f'{metrics["settings"]["surroundings"]["latency"]:g} s.</p>')


def _verdict(metrics):
    """Say in a sentence what detection on demand costs and saves."""
    modes = metrics['modes']
    if metrics['hota'] is None:
        return ('<p class="lead">No ground truth: there is nothing to score with.  What is shown '
                'is how often the CNN ran, and the life of the tracks.</p>')
    ours = modes.get(ON_DEMAND, metrics)
    return (f'<p class="lead">HOTA <b>{ours["hota"]:.3f}</b>, with the CNN on '
            f'<b>{100 * ours["detector_share"]:.1f} %</b> of the images.'
            + ''.join(f' The best peer with {DESCRIPTIONS[mode].partition(", ")[2]}: '
                      f'{modes[mode]["hota"]:.3f} ({mode}).' for mode in best_peers(modes))
            + '</p>')


def best_peers(modes: dict[str, dict]) -> list[str]:
    """Return the peer with the highest HOTA for each of the ways that peers were tried in."""
    ways = {}
    for mode in modes:
        if mode in PEER_MODES:
            ways.setdefault(PEER_MODES[mode][1:], []).append(mode)
    return [max(tried, key=lambda mode: modes[mode]['hota']) for tried in ways.values()]


def _figures(title, figures, cell=escape, note=''):
    """Return a table of figures by name; `cell` makes the HTML of a name."""
    columns = [column for column, (key, *_) in COLUMNS.items()
               if any(found.get(key) is not None for found in figures.values())]
    best = {column: _best(figures, column) for column in columns}
    head = ''.join(f'<th title="{escape(COLUMNS[column][3])}">{column}</th>' for column in columns)
    rows = ''.join(
        f'<tr><td title="{escape(DESCRIPTIONS.get(name, ""))}">{cell(name)}</td>' + ''.join(
            f'<td{" class=best" if found.get(COLUMNS[column][0]) == best[column] else ""}>'
            f'{shown(found, column)}</td>' for column in columns) + '</tr>'
        for name, found in figures.items())
    note = f'<p class="note">{escape(note)}</p>' if note else ''
    return (f'<h2>{title}</h2>{note}<div class="wide"><table><tr><th></th>{head}</tr>{rows}'
            '</table></div>')


def _link(name):
    """Return the name of a bag as a link to what happened there."""
    return f'<a href="#{quote(name)}">{escape(name)}</a>'


def _best(figures, column):
    key, _, more, _ = COLUMNS[column]
    values = [found[key] for found in figures.values() if found.get(key) is not None]
    return (max if more else min)(values) if len(values) > 1 else object()


def _meanings(figures):
    modes = ''.join(f'<dt>{name}</dt><dd>{escape(DESCRIPTIONS[name])}</dd>'
                    for name in figures if name in DESCRIPTIONS)
    columns = ''.join(f'<dt>{name}</dt><dd>{escape(meaning)}</dd>'
                      for name, (_, _, _, meaning) in COLUMNS.items())
    return f'<details open><summary>What is what</summary><dl>{modes}{columns}</dl></details>'


def _plots(out, figures, prefix=''):
    """Draw the figures, but of peers only the best: more lines cannot be told apart."""
    scored = {name: found for name, found in figures.items() if found['hota'] is not None}
    peers = PEER_MODES.keys() - best_peers(scored)
    scored = {name: found for name, found in scored.items() if name not in peers}
    if not scored:
        return ''
    calibrated = {name: found for name, found in scored.items()
                  if name in CALIBRATED or prefix} or scored
    for name, draw, what in (('curves', plots.curves, scored), ('cost', plots.cost, scored),
                             ('reliability', plots.reliability, calibrated)):
        draw(out / f'{prefix}{name}.png', what)
    small = ''.join(f'<div class="half">{_image(out / f"{prefix}{name}.png", name)}</div>'
                    for name in ('cost', 'reliability'))
    return f'<h2>Curves</h2>{_image(out / f"{prefix}curves.png")}<div class="row">{small}</div>'


def _bags(out, results, mode, recordings):
    """Show what happened in each bag: the life of the tracks, and the worst moments."""
    parts = [f'<h2>What happened</h2><p class="note">{escape(DESCRIPTIONS[mode])}; of more than '
             f'{plots.MAXIMUM_TRACKS} tracks the longest.  In the worst moments thick red is an '
             'object that was missed, orange a track on nothing that is labelled, and thin green '
             'an object that was found.</p>']
    for name, result in results.items():
        found = result['modes'][mode]
        path = out / f'timeline-{name}.png'
        plots.timeline(path, found['timeline'], found['detected'], result['seconds'])
        parts.append(f'<h3 id="{quote(name)}">{escape(name)}</h3>')
        if name in recordings:
            there = quote(os.path.relpath(recordings[name], out))
            parts.append(f'<p>To see it: <a href="{there}"><code>acme_tracking view '
                         f'{escape(str(recordings[name]))}</code></a></p>')
        parts += [_image(path, 'timeline'), _worst(out, name, found.get('worst', ()))]
    return ''.join(parts)


def _worst(out, name, moments):
    pictures = []
    for moment in moments:
        wrong = ', '.join(f'{moment[key]} {key}' for key in ('missed', 'false', 'switched')
                          if moment[key])
        pictures.append(f'<figure>{_image(out / "bags" / name / moment["file"], "moment")}'
                        f'<figcaption>{escape(name)} at {moment["seconds"]:.1f} s: {wrong}'
                        '</figcaption></figure>')
    return f'<div class="row">{"".join(pictures)}</div>' if pictures else ''


def _detector(metrics):
    rows = [(name, *(f'{bag["detector"][key]:.3f}' for key in ('ap50', 'recall', 'precision')),
             bag['detector']['images'])
            for name, bag in metrics['bags'].items() if bag['detector']]
    if not rows:
        return ''
    least = metrics['settings']['minimum_score']
    columns = ['', 'AP50', f'recall at {least:g}', f'precision at {least:g}', 'images']
    return ('<h2>The detector alone</h2>' + page.table(columns, rows) + '<p class="note">Over the '
            'labelled images that any mode had it run on.</p>')


def in_words(found: dict | None) -> str:
    """Return the figures of positions (`metrics.positions.figures`) as a line of text."""
    if found is None:
        return 'not one is known'
    contact = ('' if found['ttc_relative_median'] is None
               else f'time to contact {found["ttc_relative_median"]:.1%}, ')
    low, high = found['nees_band']
    return (f'along {found["along_relative_median"]:.1%} (95th percentile '
            f'{found["along_relative_p95"]:.1%}), across {found["lateral_m_median"]:.2f} m '
            f'({found["lateral_m_p95"]:.2f}), {contact}NEES {found["nees"]:.1f} ({low:.1f} to '
            f'{high:.1f} is right); {found["objects"]} objects, {found["known"]:.1%} known')


def _positions(modes):
    """Show how well the locator places the tracks of each mode, by distance."""
    rows = []
    for mode, found in modes.items():
        for distance, one in (found.get('positions') or {}).items():
            if one is not None:
                rows.append((f'{mode}, {distance}', *(_position_cell(one, *column)
                                                      for column in POSITION_COLUMNS.values())))
    if not rows:
        return ''
    return ('<h2>Where they are</h2>' + page.table(['', *POSITION_COLUMNS], rows)
            + '<p class="note">What the locator makes of the tracks, in metres on the road, '
            'beside the truth; medians and 95th percentiles over objects that have been followed '
            'for a second.  NEES tells whether covariances are right: its mean is then within the '
            'band in 95 % of all cases; above it positions are worse than they say.</p>')


def _position_cell(found, keys, form):
    values = [found[key] for key in keys]
    if None in values:
        return '-'
    return form.format(*values)


def _timings(timings):
    rows = [(f'{bag}: {what}', *('-' if one[key] is None else f'{one[key]:.1f} ms'
                                 for key in ('p50_ms', 'p95_ms')))
            for bag, found in timings.items()
            for what, one in (*found['modes'].items(), ('CNN', found['cnn']))]
    return ('<h2>Times on the machine that ran this</h2>' + page.table(['', 'p50', 'p95'], rows)
            + '<p class="note">What an image takes without the CNN, and what the CNN takes; live: '
            'from the publication of an image to that of its tracks. Other work on the machine '
            'counts too; these figures are not part of the scores.</p>')


def _settings(metrics):
    chosen = {key: metrics[key] for key in ('settings', 'weights_sha256', 'versions')}
    return ('<h2>Parameters and versions</h2><details><summary>All that the figures depend on'
            f'</summary><pre>{escape(json.dumps(chosen, indent=2))}</pre></details>')


def _image(path, what='curves'):
    return page.picture(path.read_bytes(), 'png' if path.suffix == '.png' else 'jpeg', what)
