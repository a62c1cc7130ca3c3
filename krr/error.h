/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The GError domain of the core library. */
#ifndef KRR_ERROR_H
#define KRR_ERROR_H

#include <glib.h>

typedef enum KrrError {
    KRR_ERROR_IO,           /* the operating system said no; the message has its reason */
    KRR_ERROR_FORMAT,       /* not a trace, damaged or incomplete */
    KRR_ERROR_VERSION,      /* a trace that this program is too old for */
    KRR_ERROR_OPTION,       /* -krr argument */
    KRR_ERROR_GUEST,        /* what the guest left in BAR2 makes no sense */
    KRR_ERROR_USAGE,        /* calls of this library out of order */
} KrrError;

#define KRR_ERROR krr_error_quark()

static inline GQuark krr_error_quark(void)
{
    return g_quark_from_static_string("krr");
}

#endif
