/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP and HMP commands. */
#include "qemu/osdep.h"
#include "qemu/module.h"
#include "monitor/hmp.h"
#include "monitor/monitor.h"
#include "qapi/error.h"
#include "qapi/qapi-commands-krr.h"
#include "qobject/qdict.h"
#include "krr-hooks.h"
#include "record.h"
#include "replay.h"

/* ---- QMP ---- */

void qmp_krr_start(const char *file, Error **errp)
{
    krr_record_start(file, errp);
}

void qmp_krr_stop(Error **errp)
{
    krr_record_stop(errp);
}

KrrInfo *qmp_query_krr(Error **errp)
{
    if (krr_replay_mode) {
        return krr_replay_info();
    }
    if (krr_record_mode) {
        return krr_record_info();
    }
    return g_new0(KrrInfo, 1);      /* KRR_STATUS_NONE */
}

/* ---- HMP ---- */

static void hmp_krr_start(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;

    qmp_krr_start(qdict_get_try_str(qdict, "filename"), &err);
    hmp_handle_error(mon, err);
}

static void hmp_krr_stop(Monitor *mon, const QDict *qdict)
{
    Error *err = NULL;

    qmp_krr_stop(&err);
    hmp_handle_error(mon, err);
}

static void print_time(Monitor *mon, const KrrInfo *info, uint64_t cycles)
{
    if (info->has_tsc_khz) {
        monitor_printf(mon, " %.1f us", cycles * 1e3 / info->tsc_khz);
    } else {
        monitor_printf(mon, " %" PRIu64 " cycles", cycles);
    }
}

static void print_share(Monitor *mon, const KrrInfo *info, const char *what, uint64_t cycles)
{
    monitor_printf(mon, ", %s", what);
    if (info->has_tsc_khz && info->duration) {
        monitor_printf(mon, " %.1f%%", cycles * 1e5 / info->tsc_khz / info->duration);
    } else {
        print_time(mon, info, cycles);
    }
}

static void print_lock(Monitor *mon, const KrrInfo *info, const KrrLock *lock)
{
    monitor_printf(mon, "  lock: slices %" PRIu64, lock->held->count);
    print_share(mon, info, "held", lock->held->cycles);
    print_share(mon, info, "waited", lock->waited->cycles);
    monitor_printf(mon, "; hand-offs: wait %" PRIu64 ", resched %" PRIu64 ", long %" PRIu64
                   "; longest stretch", lock->handoffs->wait, lock->handoffs->resched,
                   lock->handoffs->q_long);
    print_time(mon, info, lock->stretch);
    if (lock->stretch_site) {
        monitor_printf(mon, " to 0x%" PRIx64, lock->stretch_site);
    }
    monitor_printf(mon, "\n");
}

static void print_vcpus(Monitor *mon, const KrrInfo *info)
{
    uint64List *instructions = info->instructions;
    KrrLockList *lock = info->lock;
    unsigned vcpu = 0;

    for (uint64List *l = info->ordinals; l; l = l->next) {
        monitor_printf(mon, "vCPU %u: safepoints %" PRIu64, vcpu++, l->value);
        if (instructions) {
            monitor_printf(mon, ", kernel instructions %" PRIu64, instructions->value);
            instructions = instructions->next;
        }
        monitor_printf(mon, "\n");
        if (lock) {
            print_lock(mon, info, lock->value);
            lock = lock->next;
        }
    }
}

static void hmp_info_krr(Monitor *mon, const QDict *qdict)
{
    g_autoptr(KrrInfo) info = qmp_query_krr(&error_abort);

    monitor_printf(mon, "status: %s\n", KrrStatus_str(info->status));
    if (info->file) {
        monitor_printf(mon, "file: %s\n", info->file);
    }
    if (info->has_records) {
        monitor_printf(mon, "records: %" PRIu64, info->records);
        if (info->has_total) {
            monitor_printf(mon, " of %" PRIu64, info->total);
        }
        monitor_printf(mon, "\n");
    }
    if (info->has_bytes) {
        monitor_printf(mon, "bytes: %" PRIu64 "\n", info->bytes);
    }
    print_vcpus(mon, info);
    if (info->end_reason || info->end_text) {
        monitor_printf(mon, "ended by: %s%s%s\n", info->end_reason ?: "",
                       info->end_reason && info->end_text ? ", " : "", info->end_text ?: "");
    }
    if (info->error) {
        monitor_printf(mon, "error: %s\n", info->error);
    }
}

static void register_hmp(void)
{
    monitor_register_hmp("krr_start", false, hmp_krr_start);
    monitor_register_hmp("krr_stop", false, hmp_krr_stop);
    monitor_register_hmp("krr", true, hmp_info_krr);
}

type_init(register_hmp)
