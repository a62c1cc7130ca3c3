#!/usr/bin/env bash
# SPDX-License-Identifier: GPL-2.0-or-later
# All shell scripts of this repository pass shellcheck.
set -euo pipefail
cd "$(dirname "$0")/../../.."

mapfile -t scripts < <(find . \( -name .git -o -path './build*' \) -prune -o -type f -print |
    while read -r file; do
        case $file in
            *.sh) echo "$file" ;;
            *) ! head -c 64 "$file" | head -n 1 | grep -aqE '^#!.*[/ ](ba|da)?sh( |$)' || echo "$file" ;;
        esac
    done | sort)
[ ${#scripts[@]} -gt 0 ] || { echo "no scripts found"; exit 1; }
shellcheck -x -P SCRIPTDIR -P . "${scripts[@]}"
echo "${#scripts[@]} scripts pass"
