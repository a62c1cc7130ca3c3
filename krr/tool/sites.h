/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hook sites of a guest kernel: the calls of the recorder's thunks in a vmlinux
 * file (krr/guest/recorder/thunk.S). Those in modules are not among them.
 */
#ifndef KRR_TOOL_SITES_H
#define KRR_TOOL_SITES_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Site {
    uint64_t address;           /* behind the call, as linked: what records name */
    uint8_t hook;               /* KRR_KIND_* or KRR_HOOK_*, as in the thunk's magic NOP */
    bool boot;                  /* runs only before a recording can begin */
} Site;

typedef struct Sites {
    GArray *table;              /* of Site, ascending by address */
    uint64_t start, end;        /* of the kernel's code, as linked */
} Sites;

/* An error if there are none. The caller frees the result. */
Sites *sites_read(const char *vmlinux, GError **errp);
void sites_free(Sites *sites);

unsigned sites_count(const Sites *sites);
const Site *sites_get(const Sites *sites, unsigned index);
/* The index of the site with this address, or -1. */
int sites_find(const Sites *sites, uint64_t address);

/* "tsc", or "safepoint", "entry", "release", "acquire", or a number. Never NULL. */
const char *site_hook_name(uint8_t hook);
/* Does this hook write records of this kind? */
bool site_writes(uint8_t hook, uint8_t kind);
/* Does it write one each time, so that no record means: was not there? */
bool site_always_writes(uint8_t hook);

#endif
