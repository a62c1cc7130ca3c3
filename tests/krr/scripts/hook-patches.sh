#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Hook patches go into a tree, are brought up to date, and come out again. Those of each
# Linux are complete: one version has the hooks that the others have.
set -euo pipefail
# shellcheck source=tests/krr/scripts/check.sh
. "$(dirname "$0")/check.sh"
# shellcheck source=scripts/lib.sh
. "$root/scripts/lib.sh"
# shellcheck source=scripts/lib-tree.sh
. "$root/scripts/lib-tree.sh"

tree=$work/tree
series=$work/series
mkdir -p "$tree/sub" "$series"
printf '%s\n' one two three four five > "$tree/sub/numbers"
printf '%s\n' alpha beta gamma > "$tree/letters"
cp -a "$tree" "$work/pristine"

# write_patch NAME OLD NEW FILE - writes patch NAME, which turns OLD into NEW.
write_patch()
{
    {
        printf 'Reason of %s\n\n' "$1"
        diff -U1 --label "a/$4" --label "b/$4" "$2" "$3" || true
    } > "$series/$1.patch"
}

# edit NAME FILE SED - a patch that makes SED's change in FILE.
edit()
{
    sed "$3" "$work/pristine/$2" > "$work/new"
    write_patch "$1" "$work/pristine/$2" "$work/new" "$2"
}

apply()
{
    (series_apply "$tree" "$series")
}

remove()
{
    (series_remove "$tree")
}

equal_trees()
{
    diff -r --exclude=.krr "$tree" "$work/pristine"
}

content()
{
    [ "$(tr '\n' ' ' < "$tree/$1")" = "$2 " ]
}

old_stamp()
{
    [ "$(stat -c %Y "$tree/$1")" -eq 1000000000 ]
}

age()
{
    find "$tree" -type f -exec touch -d @1000000000 {} +
}

edit 0001-two sub/numbers 's/two/TWO/'
echo hello > "$work/new"
write_patch 0002-new /dev/null "$work/new" sub/added
printf '%s\n' '# a remark' 0001-two.patch 0002-new.patch > "$series/series"
check patches_apply apply
check patched_content content sub/numbers 'one TWO three four five'
check added_file content sub/added hello

age
check applying_again_changes_nothing apply
check time_stamp_of_equal_file_stays old_stamp sub/numbers

edit 0001-two sub/numbers 's/two/ZWEI/'
check changed_patch_applies_to_the_original apply
check changed_content content sub/numbers 'one ZWEI three four five'
check time_stamp_of_untouched_file_stays old_stamp letters

sed -i 's/^-two/-zwo/' "$series/0001-two.patch"
check hook_that_does_not_apply_is_named says 'hook patch 0001-two.patch (Reason of 0001-two)' apply
check tree_is_untouched_then content sub/numbers 'one ZWEI three four five'

echo 0003-missing.patch >> "$series/series"
check missing_patch_file_is_named says '0003-missing.patch' apply

echo 0002-new.patch > "$series/series"
check patch_leaves_the_series apply
check its_file_is_the_original_again content sub/numbers 'one two three four five'

check patches_come_out remove
check tree_is_the_original equal_trees

# all_listed DIR - DIR/series names each patch in DIR.
all_listed()
{
    diff <(series_patches "$1" | sort) <(printf '%s\n' "$1"/*.patch | sort)
}

# hooks PATCH... - prints the names of our own that they put in.
hooks()
{
    sed -n '/^+++/d; s/^+//p' "$@" | grep -oE '\b(krr|KRR)_[A-Za-z0-9_]+' | sort -u
}

# short_tails PATCH... - prints the hunks with less context behind a change than before
# it, which patch takes for ones at the end of a file. Fails if there are some.
short_tails()
{
    awk '
        function finish() {
            if (hunk != "" && after < before) { print file ": " hunk; found = 1 }
            hunk = ""
        }
        FNR == 1 || /^--- a\// { finish() }
        /^@@ / { finish(); hunk = $0; file = FILENAME; before = after = changed = 0; next }
        hunk == "" { next }
        /^[-+]/ { changed = 1; after = 0 }
        /^ / { if (changed) after++; else before++ }
        END { finish(); exit found }' "$@"
}

same_hooks()
{
    diff "$work/hooks" <(hooks "$@")
}

# The check itself: a hunk at the end of a file is found.
printf '%s\n' '--- a/f' '+++ b/f' '@@ -1,1 +1,2 @@' ' one' '+two' > "$work/short.patch"
check short_tail_is_found fails short_tails "$work/short.patch"

hooks "$root"/krr/guest/linux-6.1/*.patch > "$work/hooks"
check there_are_hooks grep -qx krr_enter "$work/hooks"
check missing_hook_is_found fails same_hooks "$root"/krr/guest/linux-6.1/000[!2]*.patch
for dir in "$root"/krr/guest/linux-*; do
    name=${dir##*/}
    check "${name}_lists_all_patches" all_listed "$dir"
    check "${name}_has_the_hooks_of_the_others" same_hooks "$dir"/*.patch
    check "${name}_patches_end_their_hunks_safely" short_tails "$dir"/*.patch
done
