#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Which mirrors and keys scripts/apt-sources.py finds in a system's apt set-up.
set -euo pipefail
# shellcheck source=tests/krr/scripts/check.sh
. "$(dirname "$0")/check.sh"

# etc NAME - a new apt configuration folder; the codename is that of this system.
etc()
{
    mkdir -p "$work/$1/sources.list.d"
    printf '%s\n' "$work/$1"
}

sources()
{
    /usr/bin/python3 "$root/scripts/apt-sources.py" --etc "$@"
}

# prints ETC WORDS EXPECTED - the output must be EXPECTED.
prints()
{
    local output
    # shellcheck disable=SC2086
    output=$(sources "$1" $2)
    [ "$output" = "$3" ] || { printf 'got:\n%s\nexpected:\n%s\n' "$output" "$3"; return 1; }
}

# entry KIND URI SUITE [KEY]
entry()
{
    printf 'Types: %s\nURIs: %s\nSuites: %s\nComponents: main\nSigned-By: %s' "$1" "$2" "$3" \
           "${4:-/usr/share/keyrings/debian-archive-keyring.gpg}"
}

codename=$(. /etc/os-release && echo "$VERSION_CODENAME")

dir=$(etc one_line)
cat > "$dir/sources.list" << LIST
# deb http://commented.example/debian $codename main
deb http://mirror.example/debian/ $codename main contrib # a remark
deb [arch=amd64 signed-by=/keys/debian-archive-mirror.gpg] http://second.example/debian $codename-updates main
deb http://security.example/debian-security $codename-security main
deb cdrom:[Debian]/ $codename main
LIST
check one_line_entries_give_mirrors_and_keys prints "$dir" "deb-src:trixie deb:trixie-security" \
"$(entry deb-src http://mirror.example/debian trixie)

$(entry deb-src http://second.example/debian trixie /keys/debian-archive-mirror.gpg)

$(entry deb http://security.example/debian-security trixie-security)"

dir=$(etc deb822)
cat > "$dir/sources.list.d/debian.sources" << LIST
Types: deb
# a remark
URIs: http://mirror.example/debian
Suites: $codename $codename-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://off.example/debian
Suites: $codename
Components: main
Enabled: no
LIST
check deb822_entries_give_mirrors_unless_disabled prints "$dir" deb:trixie \
    "$(entry deb http://mirror.example/debian trixie)"

dir=$(etc embedded_key)
cat > "$dir/sources.list.d/debian.sources" << LIST
Types: deb
URIs: http://mirror.example/debian
Suites: $codename
Components: main
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abcd
 -----END PGP PUBLIC KEY BLOCK-----
LIST
check embedded_keys_are_kept prints "$dir" deb:trixie "$(entry deb http://mirror.example/debian trixie "
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abcd
 -----END PGP PUBLIC KEY BLOCK-----")"

dir=$(etc third_party)
cat > "$dir/sources.list.d/other.list" << LIST
deb [signed-by=/keys/other.gpg] http://other.example/apt $codename main
deb http://docker.example/debian $codename stable
LIST
check third_parties_are_no_debian_archive says 'no Debian archive' sources "$dir" deb:trixie

dir=$(etc empty)
check no_sources_is_an_error says 'no Debian archive' sources "$dir" deb:trixie
