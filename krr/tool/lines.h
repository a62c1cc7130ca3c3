/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Source lines of addresses, as addr2line finds them in debug information. */
#ifndef KRR_TOOL_LINES_H
#define KRR_TOOL_LINES_H

#include <glib.h>
#include <stdint.h>

/*
 * For each of @addresses "kernel/softirq.c:427" or NULL: the place in the function that has the
 * symbol, not the one in what is inlined there; without the folders that all have in common.
 * NULL if addr2line cannot be run. The caller frees the result (g_ptr_array_free).
 */
GPtrArray *lines_read(const char *vmlinux, const GArray *addresses);

#endif
