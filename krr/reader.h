/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading a trace; used by the replayer and by every tool. Nothing in the file
 * is trusted: lengths, counts, offsets and records are checked before use, and
 * each record handed out is complete and well-formed for its kind (size, vCPU,
 * payload lengths).
 */
#ifndef KRR_READER_H
#define KRR_READER_H

#include <glib.h>
#include <linux/krr.h>
#include "machine.h"
#include "stats.h"

typedef struct KrrReader KrrReader;

/* Opens and checks header, machine and CPU states. Memory: a few chunks,
 * independent of the trace's length. The caller frees the result. */
KrrReader *krr_reader_open(const char *path, GError **errp);
void krr_reader_free(KrrReader *r);

const KrrMachine *krr_reader_machine(const KrrReader *r);
const KrrCpuState *krr_reader_cpu(const KrrReader *r, uint32_t vcpu);

/* Calls @page_fn for each run of guest memory in the snapshot (or, with @final,
 * at the end of the recording). Data is valid during the call. Stops and
 * returns false when @fn returns false or on a damaged file. */
typedef bool (*KrrRamFn)(uint64_t address, const void *data, size_t length, void *opaque, GError **errp);
bool krr_reader_ram(KrrReader *r, bool final, KrrRamFn fn, void *opaque, GError **errp);
bool krr_reader_has_final_ram(const KrrReader *r);

/*
 * The next record, not consumed; valid until krr_reader_next() is called twice
 * more, so the current and the previous record stay readable.
 * NULL: with @errp set, the file is damaged at this place; without, the trace ends here.
 */
const struct krr_record *krr_reader_peek(KrrReader *r, GError **errp);
void krr_reader_next(KrrReader *r);
/* Number of the record that peek returns: 0 for the first. */
uint64_t krr_reader_position(const KrrReader *r);
/* Goes to record @number, by the index where there is one. */
bool krr_reader_seek(KrrReader *r, uint64_t number, GError **errp);

/* True: the footer is there and the trace ends as its recorder meant it to.
 * False: QEMU or the host died; the records up to the last whole chunk are good. */
bool krr_reader_complete(const KrrReader *r);
/* From the footer; without one KRR_END_QEMU_EXIT, 0 and "". */
uint32_t krr_reader_end_reason(const KrrReader *r);
uint32_t krr_reader_end_status(const KrrReader *r);
const char *krr_reader_end_text(const KrrReader *r);
/* Number of records in the trace (for an incomplete one: in whole chunks). */
uint64_t krr_reader_count(const KrrReader *r);
/* From the footer, or NULL. */
const KrrStats *krr_reader_stats(const KrrReader *r);

#endif
