# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Puts KRR's hook patches into a source tree of somebody else. The originals of
# patched files are kept in TREE/.krr, so that a changed series is applied anew to them, files
# that come out equal keep their time stamps, and everything can be taken out
# again. Sourced after lib.sh.

# series_patches DIR - prints the patch files of DIR/series, in order.
series_patches()
{
    [ -f "$1/series" ] || return 0
    local name
    while read -r name _; do
        case $name in
            ''|'#'*) continue ;;
        esac
        [ -f "$1/$name" ] || die "$1/series names $name, which does not exist"
        printf '%s\n' "$1/$name"
    done < "$1/series"
}

# patch_targets PATCH... - prints the files that they change, sorted, once each.
patch_targets()
{
    [ $# -gt 0 ] || return 0
    sed -nE 's,^(---|\+\+\+) [ab]/([^[:space:]]+).*,\2,p' "$@" | sort -u
}

# tree_original TREE FILE - prints where the unpatched FILE is; fails if the
# tree had no such file.
tree_original()
{
    [ ! -e "$1/.krr/added/$2" ] || return 1
    if [ -e "$1/.krr/original/$2" ]; then
        printf '%s\n' "$1/.krr/original/$2"
    else
        [ -e "$1/$2" ] && printf '%s\n' "$1/$2"
    fi
}

# stage_series TREE STAGE PATCH... - patches copies of the original files in
# the empty folder STAGE. Fails, naming the hook, when one does not apply.
stage_series()
{
    local tree=$1 stage=$2 file original patch output
    shift 2
    while read -r file; do
        if original=$(tree_original "$tree" "$file"); then
            mkdir -p "$stage/$(dirname "$file")"
            cp "$original" "$stage/$file"
        fi
    done < <(patch_targets "$@")
    for patch in "$@"; do
        if ! output=$(LC_ALL=C patch -d "$stage" -p1 -f --fuzz=0 --no-backup-if-mismatch -r - \
                          -i "$(realpath "$patch")" 2>&1); then
            note "error: hook patch ${patch##*/} ($(patch_subject "$patch")) does not apply to $tree:"
            printf '%s\n' "$output" >&2
            return 1
        fi
    done
}

# patch_subject PATCH - prints the first line of its message.
patch_subject()
{
    sed -nE '/^(---|diff )/q; s/^Subject: (\[[^]]*\] *)?//; /^(From|Date|#)/d; /./{p;q}' "$1"
}

# tree_restore TREE FILE - puts the original back.
tree_restore()
{
    local kept=$1/.krr/original/$2
    if [ -e "$kept" ]; then
        install_if_changed "$kept" "$1/$2"
        rm -f "$kept"
    else
        rm -f "$1/$2" "$1/.krr/added/$2"
    fi
}

# tree_patched TREE [original|added] - prints the files that are patched (or
# added by patches) at the moment.
tree_patched()
{
    local kind
    for kind in ${2:-original added}; do
        [ ! -d "$1/.krr/$kind" ] || (cd "$1/.krr/$kind" && find . -type f -printf '%P\n')
    done
}

# tree_keep TREE FILE - keeps the original of FILE, once.
tree_keep()
{
    local kind=original
    [ ! -e "$1/.krr/original/$2" ] && [ ! -e "$1/.krr/added/$2" ] || return 0
    [ -e "$1/$2" ] || kind=added
    mkdir -p "$1/.krr/$kind/$(dirname "$2")"
    if [ $kind = original ]; then
        cp -p "$1/$2" "$1/.krr/original/$2"
    else
        : > "$1/.krr/added/$2"
    fi
}

# series_apply TREE DIR - makes TREE carry exactly the patches of DIR/series.
# Dies with TREE as it was when one of them does not apply.
series_apply()
{
    local tree=$1 stage file targets list
    local patches=()
    list=$(series_patches "$2")
    [ -z "$list" ] || mapfile -t patches <<< "$list"
    stage=$(mktemp -d)
    if ! stage_series "$tree" "$stage" "${patches[@]}"; then
        rm -rf "$stage"
        die "$tree is unchanged; the patches are made for the version named in $2"
    fi
    targets=$(patch_targets "${patches[@]}")
    while read -r file; do
        grep -qxF -- "$file" <<< "$targets" || tree_restore "$tree" "$file"
    done < <(tree_patched "$tree")
    mkdir -p "$tree/.krr"
    echo '*' > "$tree/.krr/.gitignore"
    while read -r file; do
        [ -n "$file" ] || continue
        tree_keep "$tree" "$file"
        if [ -e "$stage/$file" ]; then
            install_if_changed "$stage/$file" "$tree/$file"
        else
            rm -f "$tree/$file"
        fi
    done <<< "$targets"
    rm -rf "$stage"
}

# series_remove TREE - takes all hook patches out again.
series_remove()
{
    local file
    while read -r file; do
        tree_restore "$1" "$file"
    done < <(tree_patched "$1")
    rm -rf "$1/.krr"
}
