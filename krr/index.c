/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <string.h>
#include <glib.h>

#include "index.h"

void krr_index_init(KrrIndex *index)
{
    memset(index, 0, sizeof(*index));
    index->header.stride = 1;
}

static void thin_out(KrrIndex *index)
{
    for (uint32_t i = 0; i < KRR_INDEX_MAX / 2; i++) {
        index->entry[i] = index->entry[2 * i];
    }
    index->header.count = KRR_INDEX_MAX / 2;
    index->header.stride *= 2;
}

void krr_index_add(KrrIndex *index, unsigned type, uint64_t offset, uint64_t record)
{
    if (type < G_N_ELEMENTS(index->header.section) && !index->header.section[type]) {
        index->header.section[type] = offset;
    }
    if (type != KRR_CHUNK_EVENTS || index->seen++ % index->header.stride) {
        return;
    }
    if (index->header.count == KRR_INDEX_MAX) {
        /* The number of entries is even, so this chunk still has its turn. */
        thin_out(index);
    }
    index->entry[index->header.count++] = (KrrIndexEntry) { offset, record };
}

uint64_t krr_index_find(const KrrIndex *index, uint64_t record)
{
    uint32_t low = 0, high = index->header.count;

    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;

        if (index->entry[middle].record <= record) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return high ? index->entry[low].offset : index->header.section[KRR_CHUNK_EVENTS];
}

uint32_t krr_index_store(const KrrIndex *index, void *buffer, uint32_t capacity)
{
    uint32_t entries = index->header.count * sizeof(KrrIndexEntry);

    g_assert(capacity >= sizeof(index->header) + entries);
    memcpy(buffer, &index->header, sizeof(index->header));
    memcpy((char *)buffer + sizeof(index->header), index->entry, entries);
    return sizeof(index->header) + entries;
}

const char *krr_index_load(KrrIndex *index, const void *data, uint32_t length, uint64_t limit)
{
    KrrIndexHeader header;
    const KrrIndexEntry *entry = (const void *)((const char *)data + sizeof(header));

    if (length < sizeof(header)) {
        return "index is too short";
    }
    memcpy(&header, data, sizeof(header));
    if (header.count > KRR_INDEX_MAX ||
        length != sizeof(header) + header.count * sizeof(KrrIndexEntry)) {
        return "index has a wrong length";
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(header.section); i++) {
        if (header.section[i] >= limit) {
            return "index points outside of the trace";
        }
    }
    for (uint32_t i = 0; i < header.count; i++) {
        if (entry[i].offset >= limit ||
            (i && (entry[i].offset <= entry[i - 1].offset ||
                   entry[i].record <= entry[i - 1].record))) {
            return "index is not in order";
        }
    }
    krr_index_init(index);
    index->header = header;
    if (header.count) {
        memcpy(index->entry, entry, header.count * sizeof(*entry));
    }
    return NULL;
}
