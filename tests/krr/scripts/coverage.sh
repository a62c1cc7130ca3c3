#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What coverage.py makes of what recordings have left, and of the list of reasons.
set -euo pipefail
# shellcheck source=tests/krr/scripts/check.sh
. "$(dirname "$0")/check.sh"
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

# left NAME RECORDS... - a recording with so many records from each of the sites.
left()
{
    local name=$1 records state sites='' number=0
    local hooks=(tsc tsc msr msr safepoint tsc)
    local symbols=(read_tsc+0x5 delay_tsc+0x9 init_cpu.cold+0x7 spare+0x3 wait+0x1 boot+0x2)
    local lines=('"kernel/tsc.c:12"' '"lib/delay.c:7"' '"kernel/cpu/amd.c:3"' null null null)
    local states=(never never never never unknown boot)
    # One recording is told without source lines.
    [ "$name" != one ] || lines=(null null null null null null)
    shift
    for records in "$@"; do
        state=${states[number]}
        [ "$records" -eq 0 ] || state=exercised
        sites+=",{\"address\": \"0x$number\", \"hook\": \"${hooks[number]}\",
                  \"symbol\": \"${symbols[number]}\", \"line\": ${lines[number]},
                  \"state\": \"$state\", \"records\": $records}"
        number=$((number + 1))
    done
    mkdir -p "$work/left"
    printf '{"vmlinux": "vmlinux", "sites": [%s]}' "${sites#,}" | gzip > "$work/left/$name.json.gz"
}

# reasons TEXT - the list of reasons.
reasons()
{
    printf '%s\n' "$1" > "$work/reasons"
}

coverage()
{
    "$KRR_PYTHON" "$root/tests/krr/e2e/coverage.py" --reasons "$work/reasons" "$work/left"
}

# prints PATTERN - a line of coverage's output is this, as grep has patterns.
prints()
{
    coverage > "$work/printed"
    cat "$work/printed"
    grep -q -- "^$1\$" "$work/printed"
}

# silent PATTERN - no line of it has this.
silent()
{
    coverage > "$work/printed" && ! grep -- "$1" "$work/printed"
}

reasons 'No AMD here.
    *    kernel/cpu/*
Nobody waits,
nor sleeps.
    tsc  delay_*
    msr  delay_*'

mkdir "$work/left"
check "no recordings" says "no recording has left" coverage
left one   2 0 0 0 0 0
left two   3 0 0 0 4 0
check "recordings are united" prints 'tsc  *3  *1  *1  *0  *1  *5'
check "a hand-over at a safepoint counts" prints 'safepoint  *1  *1  *0  *0  *0  *4'
check "all is summed up" prints 'all  *6  *2  *3  *0  *1  *9'
check "a reason by function" prints 'not exercised, 1 sites: Nobody waits, nor sleeps.'
check "a reason by source file" prints '    msr: init_cpu'
check "a site without a reason" prints '    msr  *spare+0x3  ?'
check "no more of them" prints 'not exercised, 1 sites without a reason in .*'
check "a reason that explains nothing" prints '    msr delay_\*'
left three 0 1 1 1 0 0
check "nothing is left to exercise" silent 'not exercised'

reasons 'No AMD here.
    kernel/cpu/*'
check "a pattern without a hook" says "reasons:2: neither" coverage
reasons '    * kernel/cpu/*'
check "a pattern without a reason" says "reasons:1: neither" coverage
check "the list of reasons can be read" \
    "$KRR_PYTHON" "$root/tests/krr/e2e/coverage.py" "$work/left"
