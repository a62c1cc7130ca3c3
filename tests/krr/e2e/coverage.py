#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Sums up which hooks of the guest kernel the recordings of the tests exercised.

Each recording has left a file in the folder (vm.leave_coverage). Hook sites that none of them
exercised are listed with the reasons of tests/krr/coverage-reasons; those that have no reason
there are a gap in the tests, or in the list.
"""

import argparse
import fnmatch
import gzip
import json
import re
import sys
import textwrap
from collections import Counter
from pathlib import Path

REASONS = Path(__file__).resolve().parents[1] / 'coverage-reasons'
STATES = ('exercised', 'never', 'unknown', 'boot')


def in_tree(line):
    """A source line by its path in the kernel's tree: a compiler cache may have another folder's."""
    return line and re.sub('^.*/linux-[^/]*/', '', line)


class Site:
    """A hook site, and the records that came from it in all recordings."""

    def __init__(self, site):
        self.hook = site['hook']
        self.symbol = site['symbol'] or site['address']
        # Without what the compiler appends: .isra.0, .cold
        self.function = self.symbol.split('+')[0].split('.')[0]
        self.line = in_tree(site['line']) or '?'
        self.state = site['state']
        self.records = 0

    def add(self, site):
        """One more recording; not each of them has source lines."""
        self.line = in_tree(site['line']) or self.line
        self.records += site['records']
        if site['records']:
            self.state = 'exercised'

    def matches(self, hook, pattern):
        """Is a line of the list of reasons about this site?"""
        text = self.line.split(':')[0] if '/' in pattern else self.function
        return hook in ('*', self.hook) and fnmatch.fnmatchcase(text, pattern)

    def text(self):
        """For a list."""
        return f'{self.hook:<12}  {self.symbol}  {self.line}'


def unite(files):
    """vmlinux -> sites, of all recordings."""
    kernels = {}
    for file in files:
        with gzip.open(file, 'rt') as stream:
            report = json.load(stream)
        sites = kernels.setdefault(report['vmlinux'], {})
        for site in report['sites']:
            sites.setdefault(site['address'], Site(site)).add(site)
    return {vmlinux: list(sites.values()) for vmlinux, sites in kernels.items()}


def read_reasons(path):
    """(reason, hook, pattern) of each line that has a pattern."""
    reasons, reason, goes_on = [], None, False
    for number, line in enumerate(path.read_text().splitlines(), 1):
        if line.startswith('#'):
            continue
        words = line.split()
        begins = bool(words) and not line[0].isspace()
        if begins:
            reason = ' '.join([reason, *words] if goes_on else words)
        elif reason and len(words) == 2:
            reasons.append((reason, *words))
        elif words:
            sys.exit(f'{path}:{number}: neither a reason nor, behind spaces, a hook and a pattern')
        goes_on = begins
    return reasons


def explain(sites, reasons):
    """reason -> sites, the sites without one, and the lines of reasons that explain nothing."""
    explained, unexplained, used = {reason: [] for reason, _, _ in reasons}, [], set()
    for site in sites:
        found = next((r for r in reasons if site.matches(*r[1:])), None)
        if found:
            explained[found[0]].append(site)
            used.add(found)
        else:
            unexplained.append(site)
    return explained, unexplained, [r for r in reasons if r not in used]


def functions(sites):
    """"hook: function, other_function (3 sites)" of some sites."""
    for hook in sorted({site.hook for site in sites}):
        count = Counter(site.function for site in sites if site.hook == hook)
        names = (name if number == 1 else f'{name} ({number} sites)'
                 for name, number in count.items())
        yield f'{hook}: ' + ', '.join(names)


def print_table(sites):
    """Numbers of sites by hook and state."""
    hooks = sorted({site.hook for site in sites})
    print(f'{"hook":<14}{"sites":>8}' + ''.join(f'{state:>11}' for state in STATES)
          + f'{"records":>14}')
    for hook in [*hooks, 'all']:
        those = [site for site in sites if hook in (site.hook, 'all')]
        count = Counter(site.state for site in those)
        print(f'{hook:<14}{len(those):>8}' + ''.join(f'{count[state]:>11}' for state in STATES)
              + f'{sum(site.records for site in those):>14}')


def print_report(sites, reasons):
    """What was exercised in numbers, what was not by name."""
    print_table(sites)
    print('unknown: wrote no record, but does not always write one (a safepoint that does not hand '
          'over, a\nrelease, an acquire); boot: runs only before a recording')
    never = [site for site in sites if site.state == 'never']
    explained, unexplained, unused = explain(never, reasons)
    for reason, those in explained.items():
        if those:
            print(textwrap.fill(f'not exercised, {len(those)} sites: {reason}', 100))
        for line in functions(those):
            print(textwrap.fill(line, 100, initial_indent='    ', subsequent_indent='        '))
    if unexplained:
        print(f'not exercised, {len(unexplained)} sites without a reason in {REASONS.name}:')
        for site in sorted(unexplained, key=lambda site: site.hook):
            print(f'    {site.text()}')
    if unused:
        print(f'{REASONS.name} has reasons that explain nothing: the sites are exercised, or gone:')
        for _, hook, pattern in unused:
            print(f'    {hook} {pattern}')


def main():
    """See above."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument('--reasons', type=Path, default=REASONS, metavar='FILE')
    parser.add_argument('folder', type=Path, help='what the recordings have left')
    arguments = parser.parse_args()
    files = sorted(arguments.folder.glob('*.json.gz'))
    if not files:
        sys.exit(f'{arguments.folder}: no recording has left its coverage there')
    reasons = read_reasons(arguments.reasons)
    for vmlinux, sites in unite(files).items():
        print(f'hooks of {vmlinux} in {len(files)} recordings:')
        print_report(sites, reasons)


if __name__ == '__main__':
    main()
