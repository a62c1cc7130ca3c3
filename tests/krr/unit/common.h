/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the unit tests share: records, traces and temporary files. */
#ifndef KRR_TEST_COMMON_H
#define KRR_TEST_COMMON_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <glib.h>
#include <stdbool.h>
#include <string.h>

#include "krr/error.h"
#include "krr/kinds.h"
#include "krr/machine.h"
#include "krr/reader.h"
#include "krr/writer.h"

typedef union AnyRecord {
    struct krr_record record;
    uint8_t bytes[KRR_RECORD_MAX];
} AnyRecord;

/* A well-formed record of @kind; contents depend on @number only. */
void make_record(AnyRecord *any, unsigned kind, uint64_t number);
/* The same, with the kind by turns, so that all kinds come. */
void make_any(AnyRecord *any, uint64_t number);
/* A port write; @size as in krr_record.site. */
void make_port_write(AnyRecord *any, uint16_t port, uint32_t size, uint64_t value);
/* Kinds that there are, in ascending order; returns how many. */
unsigned all_kinds(uint8_t *kinds);

KrrMachine test_machine(uint32_t vcpus);
/*
 * 100 slices in buckets 3, 10 and 20; no wait for vCPU 0, one each for the others that is
 * longer than the histogram goes; hand-offs and stretch, which ended at @site, depend on @vcpu.
 */
struct krr_times test_times(uint32_t vcpu, uint64_t site);

/* Path in a directory of this test's own, which the teardown removes. */
char *temp_path(const char *name);
int make_temp_dir(void **state);
int remove_temp_dir(void **state);

/* Asserts success; prints @error if there is one. */
#define assert_no_error(error) assert_no_error_at(error, __FILE__, __LINE__)
void assert_no_error_at(const GError *error, const char *file, int line);
/* Asserts a failure whose message has @part, and frees it. */
#define assert_error(error, code, part) assert_error_at(error, code, part, __FILE__, __LINE__)
void assert_error_at(GError **error, KrrError code, const char *part, const char *file, int line);

/* What write_trace() puts into a trace. */
typedef struct TraceSpec {
    uint32_t vcpus;             /* 0: one */
    uint64_t records;           /* make_any(0..) */
    uint64_t flush_every;       /* records; 0: only when a chunk is full */
    uint32_t ram_pages;         /* at 0x100000, each filled by its number + 1 */
    uint32_t final_pages;       /* the same, + 2 */
    bool unfinished;            /* no footer */
    uint32_t tsc_khz;
    uint64_t duration_us;
    uint64_t kernel_text;
    uint64_t site;              /* for test_times() */
} TraceSpec;

void write_trace(const char *path, const TraceSpec *spec);

/* Reads all records and asserts that they are make_any(first..). Returns how
 * many; @error as of krr_reader_peek(). */
uint64_t check_records(KrrReader *r, uint64_t first, GError **error);

/* A generator with a fixed seed: every run tests the same. */
uint32_t random_next(uint64_t *state);

#endif
