/* SPDX-License-Identifier: GPL-2.0-or-later */
/* -krr on QEMU's command line. */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "krr-hooks.h"
#include "krr/options.h"
#include "record.h"
#include "replay.h"

bool krr_record_mode;
bool krr_replay_mode;
bool krr_record_active;
unsigned krr_noise;

/* NULL without -krr; lives as long as QEMU. */
static KrrOptions *options;

void krr_option(const char *arg)
{
    GError *err = NULL;

    if (options) {
        error_report("-krr: given twice; one QEMU either records or replays, one trace");
        exit(1);
    }
    options = krr_options_parse(arg, &err);
    if (!options) {
        error_report("%s", err->message);
        exit(1);
    }
    krr_record_mode = options->mode == KRR_MODE_RECORD;
    krr_replay_mode = options->mode == KRR_MODE_REPLAY;
    krr_noise = options->noise;
}

void krr_configure(struct QDict *machine_opts, int *has_defaults, int *default_vga,
                   const char **cpu_option)
{
    if (krr_replay_mode) {
        krr_replay_configure(options, machine_opts, has_defaults, *cpu_option);
    } else if (krr_record_mode) {
        krr_record_configure(options, machine_opts, default_vga, cpu_option);
    }
}

void krr_machine_ready(void)
{
    if (krr_replay_mode) {
        krr_replay_machine_ready();
    } else if (krr_record_mode) {
        krr_record_machine_ready();
    }
}
