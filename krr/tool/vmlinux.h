/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sections of a vmlinux file. */
#ifndef KRR_TOOL_VMLINUX_H
#define KRR_TOOL_VMLINUX_H

#include <gelf.h>
#include <glib.h>
#include <stdbool.h>

typedef struct VmlinuxSection {
    Elf *elf;
    GElf_Shdr header;
    const char *name;
    Elf_Data *data;             /* NULL if it cannot be read */
} VmlinuxSection;

/* What it is given is valid during the call. */
typedef void (*VmlinuxSectionFn)(void *opaque, const VmlinuxSection *section);

/* Calls @fn for each section of @path; false with @errp set if that is no ELF file. */
bool vmlinux_sections(const char *path, VmlinuxSectionFn fn, void *opaque, GError **errp);

#endif
