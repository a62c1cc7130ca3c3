# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# Packages of Debian suites that this system does not use itself, through a
# private apt configuration under KRR_CACHE. The mirrors and keys are the
# system's, so apt checks everything by its signatures; nothing in /etc or /var
# is changed and no rights are needed. Sourced after lib.sh.
#
# A set of suites is one word: "deb-src:trixie,deb-src:trixie-security".

# The suites that what we need comes from.
# shellcheck disable=SC2034  # used by those who source this file
APT_QEMU="deb-src:trixie,deb-src:trixie-security"
# shellcheck disable=SC2034
APT_BACKPORTS="deb:bookworm-backports"
# shellcheck disable=SC2034
APT_BOOKWORM="deb:bookworm,deb:bookworm-security,deb:bookworm-updates"

# apt_private SUITES COMMAND... - runs apt-get with the private configuration.
apt_private()
{
    local dir=$KRR_CACHE/apt/${1//[:,]/_}
    shift
    local options=(
        -o "Dir::Etc::sourcelist=/dev/null"
        -o "Dir::Etc::sourceparts=$dir/sources.list.d"
        -o "Dir::Etc::preferences=/dev/null"
        -o "Dir::Etc::preferencesparts=/dev/null"
        -o "Dir::State::lists=$dir/lists"
        -o "Dir::Cache=$dir/cache"
        -o "Acquire::Languages=none"
        -o "Acquire::Retries=3"
    )
    # apt would hand downloads to a user who cannot write our folders.
    [ "$(id -u)" -ne 0 ] || options+=(-o "APT::Sandbox::User=root")
    LC_ALL=C DEBIAN_FRONTEND=noninteractive apt-get -q "${options[@]}" "$@"
}

# apt_update SUITES - fetches the lists of SUITES.
apt_update()
{
    local dir=$KRR_CACHE/apt/${1//[:,]/_}
    command -v apt-get > /dev/null ||
        die "apt-get is missing: on other systems than Debian give the sources by hand, see ./configure --help"
    mkdir -p "$dir/sources.list.d" "$dir/lists/partial" "$dir/cache/archives/partial"
    # shellcheck disable=SC2086  # one word each
    "$KRR_PYTHON" "$KRR_ROOT/scripts/apt-sources.py" ${1//,/ } > "$dir/sources.list.d/krr.sources"
    note "fetching the package lists of ${1//,/ }"
    # Not fatal by itself: one of several mirrors may be down.
    apt_private "$1" update > "$dir/update.log" 2>&1 || true
}

# apt_fetch SUITES WHAT FOLDER COMMAND... - runs apt-get COMMAND in FOLDER,
# which exists afterwards only if it succeeded.
apt_fetch()
{
    local suites=$1 what=$2 folder=$3 part=$3.part
    shift 3
    [ ! -d "$folder" ] || return 0
    apt_update "$suites"
    note "fetching $what"
    rm -rf "$part"
    mkdir -p "$part"
    if ! (cd "$part" && apt_private "$suites" "$@") > "$folder.log" 2>&1; then
        grep -hE '^(Err|E|W):' "$KRR_CACHE/apt/${suites//[:,]/_}/update.log" "$folder.log" >&2 || true
        die "cannot fetch $what from the suites ${suites//,/ }; apt's output is in $folder.log"
    fi
    mv "$part" "$folder"
}

# apt_source SUITES NAME - downloads source package NAME; prints its .dsc file.
apt_source()
{
    local folder=$KRR_CACHE/source/$2
    mkdir -p "$KRR_CACHE/source"
    with_lock "$folder.lock" apt_fetch "$1" "source package $2" "$folder" source --download-only "$2"
    local dsc=("$folder"/*.dsc)
    [ -f "${dsc[0]}" ] || die "no .dsc file in $folder; remove that folder and try again"
    printf '%s\n' "${dsc[0]}"
}

# apt_deb SUITES NAME - downloads binary package NAME; prints its .deb file.
apt_deb()
{
    local folder=$KRR_CACHE/deb/$2
    mkdir -p "$KRR_CACHE/deb"
    with_lock "$folder.lock" apt_fetch "$1" "package $2" "$folder" download "$2"
    local deb=("$folder"/*.deb)
    [ -f "${deb[0]}" ] || die "no .deb file in $folder; remove that folder and try again"
    printf '%s\n' "${deb[0]}"
}
