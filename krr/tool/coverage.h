/* SPDX-License-Identifier: GPL-2.0-or-later */
/* krr stats --coverage. */
#ifndef KRR_TOOL_COVERAGE_H
#define KRR_TOOL_COVERAGE_H

#include <stdbool.h>

/* Prints which hook sites of @vmlinux records in @traces (NULL at the end) came from. With
 * @lines, names their source lines, too, which takes a second or more. Returns the exit status. */
int coverage_report(char **traces, const char *vmlinux, bool lines, bool json);

#endif
