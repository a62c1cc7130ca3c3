/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The argument of -krr. */
#ifndef KRR_OPTIONS_H
#define KRR_OPTIONS_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef enum KrrMode { KRR_MODE_NONE, KRR_MODE_RECORD, KRR_MODE_REPLAY } KrrMode;

/* What an emulated CPU does for noise: all of it is within what the architecture allows. */
typedef enum KrrNoise {
    KRR_NOISE_FLAGS = 1,        /* arithmetic flags that are undefined take other values */
    KRR_NOISE_FAULTS = 2,       /* a store to a page that was read-only faults once more */
    KRR_NOISE_ACCESSED = 4,     /* page table entries are marked as accessed ahead of time */
    KRR_NOISE_EVICT = 8,        /* translations are forgotten now and then */
    KRR_NOISE_XINUSE = 16,      /* extended state that is initial counts as unused, or not */
    KRR_NOISE_ALL = 31,
} KrrNoise;

typedef struct KrrOptions {
    KrrMode mode;
    char *path;             /* of the trace */
    bool start_boot;        /* record: start=boot */
    uint32_t ring_size;     /* record: ring=SIZE, bytes */
    bool final_ram;         /* record: final-ram=on */
    bool exit_at_end;       /* replay: exit=on */
    bool progress;          /* replay: progress=on|off, default: when stderr is a terminal */
    bool strict;            /* replay: strict=on */
    unsigned noise;         /* not in replays: noise=KINDS, KRR_NOISE_* */
} KrrOptions;

/*
 * Parses "record=FILE,start=boot|manual,ring=SIZE,final-ram=on|off" or
 * "replay=FILE,exit=on|off,progress=on|off,strict=on|off"; "noise=KINDS" alone or with record. A comma
 * in FILE is written twice, as everywhere in QEMU. Unknown, repeated and conflicting options are errors that name the option and what is
 * allowed. Free with krr_options_free().
 */
KrrOptions *krr_options_parse(const char *text, GError **errp);
void krr_options_free(KrrOptions *options);

#endif
