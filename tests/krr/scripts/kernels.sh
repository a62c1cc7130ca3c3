#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# Each Linux that there are hook patches for, as Debian has it now, takes them and our
# configuration. No more is done with those that scripts/build does not build.
set -euo pipefail
# shellcheck source=tests/krr/scripts/check.sh
. "$(dirname "$0")/check.sh"

# config ROOT VERSION - as the scripts in ROOT do it.
config()
{
    "$1/scripts/guest-kernel" config --version "$2"
}

# The check itself: an option that no Linux has is found. It comes first, because it leaves its
# configuration behind.
copy=$work/root
mkdir "$copy"
cp -r "$root/krr" "$copy"
ln -s "$root/scripts" "$root/linux-headers" "$copy"
echo CONFIG_KRR_NO_SUCH_OPTION=y >> "$copy/krr/guest/krr.config"

for dir in "$root"/krr/guest/linux-*; do
    version=${dir##*/linux-}
    check "linux-${version}_does_not_take_what_it_has_not" \
        says CONFIG_KRR_NO_SUCH_OPTION config "$copy" "$version"
    check "linux-${version}_takes_patches_and_configuration" config "$root" "$version"
    check "linux-${version}_takes_debians_configuration" config "$root" "$version-debian"
done
