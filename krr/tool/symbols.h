/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The functions of a vmlinux file, to give names to the addresses in a trace. */
#ifndef KRR_TOOL_SYMBOLS_H
#define KRR_TOOL_SYMBOLS_H

#include <glib.h>
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

/* Run-time address minus address in the file. */
uint64_t symbols_offset(const Symbols *s);

/* "name+0x12" for a run-time address, or NULL. The caller frees it (g_free). */
char *symbols_name(const Symbols *s, uint64_t address);

/*
 * The same for the address behind a call: it can already be behind the function's
 * end. @s may be NULL, which names nothing.
 */
char *symbols_call_site(const Symbols *s, uint64_t address);

#endif
