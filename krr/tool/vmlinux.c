/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "vmlinux.h"
#include "../error.h"

/* libelf would read debug information, too, which is most of the file and nobody's need. */
static bool is_wanted(const GElf_Shdr *header)
{
    return header->sh_flags & SHF_ALLOC || header->sh_type == SHT_SYMTAB;
}

static bool read_sections(Elf *elf, VmlinuxSectionFn fn, void *opaque)
{
    Elf_Scn *scn = NULL;
    size_t names;

    if (elf_kind(elf) != ELF_K_ELF || elf_getshdrstrndx(elf, &names)) {
        return false;
    }
    while ((scn = elf_nextscn(elf, scn))) {
        VmlinuxSection section = { .elf = elf };

        if (gelf_getshdr(scn, &section.header) && is_wanted(&section.header)) {
            section.name = elf_strptr(elf, names, section.header.sh_name);
            section.name = section.name ? section.name : "";
            section.data = elf_getdata(scn, NULL);
            fn(opaque, &section);
        }
    }
    return true;
}

bool vmlinux_sections(const char *path, VmlinuxSectionFn fn, void *opaque, GError **errp)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good;
    Elf *elf;

    if (fd < 0) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_IO, "%s: %s", path, g_strerror(errno));
        return false;
    }
    elf_version(EV_CURRENT);
    elf = elf_begin(fd, ELF_C_READ, NULL);
    good = elf && read_sections(elf, fn, opaque);
    if (!good) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT, "%s: is not a vmlinux file", path);
    }
    elf_end(elf);
    close(fd);
    return good;
}
