/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions of a vmlinux file, to give names to the addresses in a trace. */
#ifndef KRR_TOOL_SYMBOLS_H
#define KRR_TOOL_SYMBOLS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>
#include "../machine.h"

typedef struct Symbols Symbols;

/*
 * Reads the symbol table of @path and works out how far KASLR moved the kernel
 * that @machine describes. Warns on stderr when the file is of another build. The
 * caller frees the result.
 */
Symbols *symbols_load(const char *path, const KrrMachine *machine, GError **errp);
void symbols_free(Symbols *s);

/* The same in steps, for several machines with one kernel: the symbols as linked, ... */
Symbols *symbols_read(const char *path, GError **errp);
/* ... whether @machine ran this build, as far as that is known, and where it had it. */
bool symbols_fit(const Symbols *s, const KrrMachine *machine);
void symbols_place(Symbols *s, const KrrMachine *machine);

/* Run-time address minus address in the file. */
uint64_t symbols_offset(const Symbols *s);

/* "name+0x12" for a run-time address, or NULL. The caller frees it (g_free). */
char *symbols_name(const Symbols *s, uint64_t address);

/*
 * The same for the address behind a call: it can already be behind the function's
 * end. @s may be NULL, which names nothing.
 */
char *symbols_call_site(const Symbols *s, uint64_t address);

/* What a record's call site stands for: kernel and modules lie in the uppermost 2 GiB. */
static inline uint64_t symbols_call_address(uint32_t site)
{
    return 0xffffffff00000000ull | site;
}

#endif
