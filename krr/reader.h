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
#include <stdbool.h>
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

/*
 * Calls @fn for each run of guest memory in the snapshot (or, with @final, at
 * the end of the recording). @address and @length are multiples of 4096 and lie
 * below 2^52, but whether memory is there is for @fn to check. Data is valid
 * during the call. Stops and returns false when @fn returns false (which sets
 * @errp) or on a damaged file. Does not move the position in the records.
 */
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
/* From their chunk, or NULL. */
const KrrStats *krr_reader_stats(const KrrReader *r);

/* What is wrong with an incomplete trace, and from which byte on; NULL for a complete one. */
const char *krr_reader_damage(const KrrReader *r);
const char *krr_reader_path(const KrrReader *r);
uint64_t krr_reader_file_size(const KrrReader *r);

/*
 * Calls @fn for each chunk of the file in order, up to its end or to the damage.
 * With @check, contents are read and their checksums verified.
 */
typedef struct KrrChunkInfo {
    const char *name;           /* "events" */
    uint64_t offset;            /* in the file */
    uint32_t raw_length;        /* bytes of the contents */
    uint32_t stored_length;     /* bytes in the file, without the chunk's header */
    uint64_t first_record;      /* records before this chunk */
    uint32_t record_count;
} KrrChunkInfo;
typedef bool (*KrrChunkFn)(const KrrChunkInfo *info, void *opaque, GError **errp);
bool krr_reader_chunks(KrrReader *r, bool check, KrrChunkFn fn, void *opaque, GError **errp);

#endif
