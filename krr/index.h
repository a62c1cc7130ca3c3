/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where chunks are in a trace. The table of event chunks is bounded however long
 * the trace is: when it is full, every second entry goes, and the reader walks
 * the chunk headers from the entry before the place it looks for.
 */
#ifndef KRR_INDEX_H
#define KRR_INDEX_H

#include <stdbool.h>
#include "format.h"

typedef struct KrrIndex {
    KrrIndexHeader header;
    uint64_t seen;              /* event chunks added */
    KrrIndexEntry entry[KRR_INDEX_MAX];
} KrrIndex;

void krr_index_init(KrrIndex *index);
/* A chunk of @type is at @offset; @record is its first record. */
void krr_index_add(KrrIndex *index, unsigned type, uint64_t offset, uint64_t record);
/* Offset of a chunk of events at or before the one with @record; 0: no events. */
uint64_t krr_index_find(const KrrIndex *index, uint64_t record);

/* Bytes of the stored form, which is header and entries as they are in memory. */
uint32_t krr_index_store(const KrrIndex *index, void *buffer, uint32_t capacity);
/* NULL, or what is wrong; offsets must lie below @limit. */
const char *krr_index_load(KrrIndex *index, const void *data, uint32_t length, uint64_t limit);

#endif
