# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What the tests of the build share. Sourced. Leaves with status 1 at the end if
# a check failed.

# shellcheck disable=SC2034  # used by the tests
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../../.." && pwd)
work=$(mktemp -d)
failures=0
trap 'finish $?' EXIT

finish()
{
    rm -rf "$work"
    [ "$1" -eq 0 ] || exit "$1"
    [ $failures -eq 0 ] || exit 1
}

# check WHAT COMMAND... - COMMAND must succeed.
check()
{
    local what=$1
    shift
    if "$@" > "$work/output" 2>&1; then
        echo "ok: $what"
    else
        echo "FAILED: $what: $*"
        sed 's/^/    /' "$work/output"
        failures=$((failures + 1))
    fi
}

# fails COMMAND... - turns the status around; its output must not be empty.
fails()
{
    local output
    if output=$("$@" 2>&1); then
        return 1
    fi
    printf '%s\n' "$output"
    [ -n "$output" ]
}

# says TEXT COMMAND... - COMMAND must fail with a message that has TEXT.
says()
{
    local text=$1
    shift
    fails "$@" | tee "$work/said"
    grep -qF -- "$text" "$work/said"
}
