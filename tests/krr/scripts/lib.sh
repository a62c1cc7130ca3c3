#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# What the build's scripts share.
set -euo pipefail
# shellcheck source=tests/krr/scripts/check.sh
. "$(dirname "$0")/check.sh"
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"

# holds FILE LINES - FILE is the output of seq LINES.
holds()
{
    seq "$2" | cmp - "$1"
}

file=$work/folder/file
install_if_changed <(seq 20000) "$file"
check "a file made from a pipe" holds "$file" 20000
install_if_changed <(seq 30000) "$file"
check "a file changed from a pipe" holds "$file" 30000

touch -d '2001-01-01' "$file"
seq 30000 > "$work/same"
install_if_changed "$work/same" "$file"
check "an equal file keeps its time" test "$file" -ot "$work/same"
check "nothing else is left" test "$(ls "$work/folder")" = file
