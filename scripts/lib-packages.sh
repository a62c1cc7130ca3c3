# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# What must be installed to build and test KRR: one list for ./configure, which
# checks it, and scripts/setup-packages, which installs what is missing.
# Sourced after lib.sh.

# requirements - prints lines: what to check, Debian package, what for.
#   tool:NAME    a command         lib:NAME   a pkg-config module
#   file:PATH    a file            py:NAME    a module of KRR_PYTHON
requirements()
{
    cat << 'LIST'
tool:gcc                gcc                 all builds
tool:make               make                the guest kernel
tool:ninja              ninja-build         QEMU and KRR
tool:pkg-config         pkg-config          QEMU and KRR
tool:patch              patch               hook patches
tool:rsync              rsync               --qemu-source=DIR
tool:dpkg-source        dpkg-dev            QEMU's source package
tool:xz                 xz-utils            source packages
tool:bzip2              bzip2               disk image formats
tool:flex               flex                the guest kernel
tool:bison              bison               the guest kernel
tool:bc                 bc                  the guest kernel
tool:perl               perl                the guest kernel
tool:cpio               cpio                the guest's root file system
tool:depmod             kmod                modules of the lab's host
tool:gdb                gdb                 replay
tool:busybox            busybox-static      the guest's root file system
tool:flock              util-linux          caches used at once
tool:mmdebstrap         mmdebstrap          the guest's disk image
tool:fakechroot         fakechroot          the guest's disk image
tool:fakeroot           fakeroot            the guest's disk image
tool:mke2fs             e2fsprogs           the guest's disk image, tests
tool:shellcheck         shellcheck          tests
tool:cppcheck           cppcheck            tests
tool:clang-tidy         clang-tidy          tests
tool:mandoc             mandoc              tests
tool:spin               spin                tests
tool:openssl            openssl             the guest kernel
py:venv                 python3-venv        QEMU's build
py:setuptools           python3-setuptools  QEMU's build
lib:glib-2.0            libglib2.0-dev      all builds
lib:zlib                zlib1g-dev          traces
lib:libzstd             libzstd-dev         traces
lib:libelf              libelf-dev          the tool, the guest kernel
lib:libcrypto           libssl-dev          the guest kernel
lib:cmocka              libcmocka-dev       unit tests
lib:pixman-1            libpixman-1-dev     QEMU
lib:libfdt              libfdt-dev          QEMU
lib:slirp               libslirp-dev        QEMU: user networking
lib:libcap-ng           libcap-ng-dev       QEMU: 9p
lib:liburing            liburing-dev        QEMU: io_uring
file:/usr/include/libaio.h                  libaio-dev   QEMU: native AIO
file:/usr/include/attr/attributes.h         libattr1-dev QEMU: 9p
file:/usr/share/seabios/bios-256k.bin       seabios      QEMU: firmware
file:/usr/lib/ipxe/qemu/efi-virtio.rom      ipxe-qemu    QEMU: firmware
LIST
}

# requirement_met CHECK
requirement_met()
{
    case $1 in
        tool:*) command -v "${1#tool:}" > /dev/null ||
                    PATH=/usr/sbin:/sbin command -v "${1#tool:}" > /dev/null ;;
        # libfdt has no .pc file in Debian 12.
        lib:libfdt) [ -e /usr/include/libfdt.h ] ;;
        lib:*)  pkg-config --exists "${1#lib:}" 2> /dev/null ;;
        py:*)   "$KRR_PYTHON" -c "import ${1#py:}" 2> /dev/null ;;
        file:*) [ -e "${1#file:}" ] ;;
    esac
}

# requirements_missing - prints the lines of what is not there.
requirements_missing()
{
    local check package purpose
    if ! [ -x "$KRR_PYTHON" ]; then
        echo "tool:$KRR_PYTHON python3 QEMU and KRR"
    fi
    while read -r check package purpose; do
        requirement_met "$check" || echo "$check $package $purpose"
    done < <(requirements)
}
