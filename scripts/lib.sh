# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What all of KRR's scripts share. Sourced, never run.

KRR_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Where things are built, and where downloads are kept between builds.
KRR_BUILD=${KRR_BUILD:-$KRR_ROOT/build}
KRR_CACHE=${KRR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/krr}

# The system's python: another one that is first in PATH (pyenv, conda) lacks
# the modules of Debian's packages.
KRR_PYTHON=${KRR_PYTHON:-/usr/bin/python3}

# note TEXT... - progress, on stderr so that stdout stays for results.
note()
{
    printf '%s: %s\n' "${KRR_PROGRAM:-${0##*/}}" "$*" >&2
}

# die TEXT... - says what failed and leaves with status 1.
die()
{
    note "error: $*"
    exit 1
}

# option_value OPTION COUNT - dies unless OPTION is followed by a value;
# COUNT is the number of words left, OPTION included.
option_value()
{
    [ "$2" -ge 2 ] || die "$1 needs a value, see --help"
}

# usage - prints the comment block at the head of the running script.
usage()
{
    awk 'NR > 2 && !/^#/ { exit } NR > 3 { sub(/^# ?/, ""); print }' "$0"
}

# run_logged LOG COMMAND... - runs COMMAND with its output in LOG; on failure
# shows LOG's end and dies.
run_logged()
{
    local log=$1 status=0
    shift
    mkdir -p "$(dirname "$log")"
    "$@" > "$log" 2>&1 || status=$?
    if [ "$status" -ne 0 ]; then
        tail -n 30 "$log" >&2
        die "'$1' failed with status $status; the whole output is in $log"
    fi
}

# install_if_changed FILE DESTINATION - copies, but keeps the time stamp of an
# equal DESTINATION, so that nothing is built again for nothing. FILE may be a pipe,
# which can be read only once.
install_if_changed()
{
    mkdir -p "$(dirname "$2")"
    cp "$1" "$2.new"
    if cmp -s "$2.new" "$2"; then
        rm "$2.new"
    else
        mv -f "$2.new" "$2"
    fi
}

# with_lock FILE COMMAND... - runs COMMAND while nobody else holds FILE.
with_lock()
{
    local lock=$1
    shift
    mkdir -p "$(dirname "$lock")"
    (
        flock 9
        "$@"
    ) 9> "$lock"
}

# build_guest_root - builds the guests' root file system in $KRR_BUILD/guest, where
# it is missing or old; progress on stderr.
build_guest_root()
{
    "$KRR_ROOT/scripts/guest-root" --output "$KRR_BUILD/guest" >&2
}
