#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""
Prints apt sources (deb822) for other suites of the Debian archives that this
system already uses, with its own mirrors and keys.

TYPE is deb or deb-src; SUITE is one of the main archive (trixie,
bookworm-backports) or of the security archive (trixie-security). Nothing of
the system is changed. Exit status 1: the system has no Debian archive among its
sources.
"""

import argparse
import glob
import os
import re
import sys

KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'


def one_line_entries(text):
    """Entries of the form: deb [option=value ...] URI SUITE COMPONENT..."""
    for line in text.splitlines():
        match = re.match(r'\s*deb(?:-src)?\s+(?:\[(.*?)\]\s+)?(\S+)\s+(\S+)\s+([^#]+)', line)
        if not match:
            continue
        options = dict(o.split('=', 1) for o in (match[1] or '').split() if '=' in o)
        yield {'uris': [match[2]], 'suites': [match[3]], 'components': match[4].split(),
               'signed-by': options.get('signed-by', '').replace(',', ' ')}


def deb822_entries(text):
    """Entries of the form: fields of 'Name: value', continued by leading blanks."""
    for stanza in re.split(r'\n\s*\n', text):
        fields = {}
        name = None
        for line in stanza.splitlines():
            if line.startswith('#'):
                continue
            if line[:1].isspace() and name:
                fields[name] += '\n' + line
            elif ':' in line:
                name, value = line.split(':', 1)
                name = name.strip().lower()
                fields[name] = value.strip()
        if fields.get('enabled', 'yes').lower() in ('no', 'false', '0'):
            continue
        if 'uris' in fields and 'suites' in fields:
            yield {'uris': fields['uris'].split(), 'suites': fields['suites'].split(),
                   'components': fields.get('components', '').split(),
                   'signed-by': fields.get('signed-by', '')}


def system_entries(etc):
    parsers = [(one_line_entries, ['sources.list', 'sources.list.d/*.list']),
               (deb822_entries, ['sources.list.d/*.sources'])]
    for parser, patterns in parsers:
        for pattern in patterns:
            for path in sorted(glob.glob(os.path.join(etc, pattern))):
                with open(path, encoding='utf-8', errors='replace') as file:
                    yield from parser(file.read())


def is_debian(entry):
    """Third parties use Debian's suite names too; their keys tell them apart."""
    key = entry['signed-by']
    return 'main' in entry['components'] and (
        not key or 'debian-archive' in key or 'BEGIN PGP' in key)


def archives(etc, codename):
    """URI -> key of the main archive, and of the security archive."""
    main, security = {}, {}
    for entry in filter(is_debian, system_entries(etc)):
        for suite in entry['suites']:
            base = suite.split('/')[0]
            if base in (codename + '-security', 'stable-security'):
                found = security
            elif base in (codename, codename + '-updates', 'stable', 'stable-updates'):
                found = main
            else:
                continue
            for uri in entry['uris']:
                if not uri.startswith('cdrom:'):
                    found.setdefault(uri.rstrip('/'), entry['signed-by'])
    return main, security


def codename_of_system():
    with open('/etc/os-release', encoding='utf-8') as file:
        match = re.search(r'^VERSION_CODENAME="?([^"\n]+)', file.read(), re.M)
    return match[1] if match else ''


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--etc', default='/etc/apt', help="apt's configuration folder")
    parser.add_argument('suites', metavar='TYPE:SUITE', nargs='+')
    args = parser.parse_args()

    main_archive, security_archive = archives(args.etc, codename_of_system())
    if not main_archive:
        sys.exit('apt-sources.py: error: no Debian archive among the sources in %s'
                 % args.etc)
    for word in args.suites:
        kind, suite = word.split(':')
        archive = security_archive if suite.endswith('-security') else main_archive
        for uri, key in archive.items():
            print('Types: %s\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s\n'
                  % (kind, uri, suite, key or KEYRING))


if __name__ == '__main__':
    main()
