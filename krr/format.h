/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Layout of a trace file: the fixed structures around the payloads. Private to
 * the core library and its tests. docs/trace-format.md is the specification;
 * change both together, and raise KRR_FORMAT_VERSION as it says.
 */
#ifndef KRR_FORMAT_H
#define KRR_FORMAT_H

#include <stdint.h>
#include "machine.h"
#include "stats.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "trace files are little endian and are read in place"
#endif

#define KRR_FORMAT_VERSION  1

#define KRR_FILE_MAGIC      "KRRTRACE"
#define KRR_TRAILER_MAGIC   "KRRENDS."
#define KRR_CHUNK_MAGIC     0x4352524bu     /* "KRRC" */

typedef struct KrrFileHeader {
    char     magic[8];              /* KRR_FILE_MAGIC */
    uint32_t version;               /* KRR_FORMAT_VERSION of the writer */
    uint32_t size;                  /* bytes of this header; the first chunk follows */
    uint32_t reserved[3];
    uint32_t crc;                   /* of the bytes before it */
} KrrFileHeader;

/* In the order in which they stand in a file. */
typedef enum KrrChunkType {
    KRR_CHUNK_MACHINE = 1,          /* one KrrMachine */
    KRR_CHUNK_CPU,                  /* one KrrCpuState; argument: vCPU */
    KRR_CHUNK_RAM,                  /* KrrRamHeader */
    KRR_CHUNK_START,                /* empty: the snapshot is complete */
    KRR_CHUNK_EVENTS,               /* struct krr_record one after the other */
    KRR_CHUNK_FINAL_RAM,            /* KrrRamHeader */
    KRR_CHUNK_STATISTICS,           /* one KrrStats */
    KRR_CHUNK_FOOTER,               /* one KrrFooter */
    KRR_CHUNK_INDEX,                /* KrrIndexHeader */
    KRR_CHUNK_TYPES
} KrrChunkType;

#define KRR_CHUNK_OPTIONAL  1       /* flag: a reader that does not know the type skips it */

#define KRR_CODEC_RAW       0
#define KRR_CODEC_ZSTD      1

typedef struct KrrChunkHeader {
    uint32_t magic;                 /* KRR_CHUNK_MAGIC */
    uint16_t type;
    uint16_t flags;
    uint32_t codec;
    uint32_t raw_length;            /* bytes of the payload, 0..KRR_CHUNK_MAX */
    uint32_t stored_length;         /* bytes that follow this header */
    uint32_t sequence;              /* 0 for the file's first chunk, then one more each */
    uint64_t first_record;          /* records before this chunk */
    uint32_t record_count;          /* EVENTS: records in this chunk, else 0 */
    uint32_t argument;              /* CPU: vCPU; EVENTS: vCPU of the first record; else 0 */
    uint64_t ordinal;               /* EVENTS: ordinal of the first record; else 0 */
    uint32_t reserved[2];
    uint32_t payload_crc;           /* of the stored bytes */
    uint32_t crc;                   /* of this header's bytes before it */
} KrrChunkHeader;

#define KRR_CHUNK_MAX       (16u << 20)     /* bytes; bounds what a hostile file can ask for */
#define KRR_CHUNK_EVENTS_SIZE (256u << 10)  /* raw bytes a writer puts into a chunk */
#define KRR_CHUNK_RAM_PAGES 256u

/* Followed by @runs KrrRamRun, then by the pages of all runs. */
typedef struct KrrRamHeader {
    uint32_t runs;
    uint32_t pages;                 /* of all runs */
} KrrRamHeader;

typedef struct KrrRamRun {
    uint64_t address;               /* guest-physical, multiple of KRR_PAGE */
    uint32_t pages;
    uint32_t reserved;
} KrrRamRun;

typedef struct KrrFooter {
    uint32_t reason;                /* KRR_END_* */
    uint32_t status;
    uint64_t records;
    char     text[KRR_END_TEXT];    /* NUL padded */
} KrrFooter;

/* Followed by @count KrrIndexEntry, ascending. */
typedef struct KrrIndexHeader {
    uint64_t section[16];           /* file offset of the first chunk of each type, 0: none */
    uint32_t count;
    uint32_t stride;                /* one entry for so many chunks of events */
} KrrIndexHeader;

typedef struct KrrIndexEntry {
    uint64_t offset;                /* of a chunk of events */
    uint64_t record;                /* its first record */
} KrrIndexEntry;

#define KRR_INDEX_MAX       4096u

typedef struct KrrTrailer {
    char     magic[8];              /* KRR_TRAILER_MAGIC */
    uint64_t index_offset;          /* of the chunk */
    uint64_t file_size;             /* with this trailer */
    uint32_t reserved;
    uint32_t crc;                   /* of the bytes before it */
} KrrTrailer;

_Static_assert(sizeof(KrrFileHeader) == 32, "trace format");
_Static_assert(sizeof(KrrChunkHeader) == 64, "trace format");
_Static_assert(sizeof(KrrRamHeader) == 8, "trace format");
_Static_assert(sizeof(KrrRamRun) == 16, "trace format");
_Static_assert(sizeof(KrrFooter) == 128, "trace format");
_Static_assert(sizeof(KrrIndexHeader) == 136, "trace format");
_Static_assert(sizeof(KrrIndexEntry) == 16, "trace format");
_Static_assert(sizeof(KrrTrailer) == 32, "trace format");
_Static_assert(sizeof(KrrMachine) == 3576, "trace format");
_Static_assert(sizeof(KrrCpuState) == 4720, "trace format");
_Static_assert(sizeof(KrrStats) == 62536, "trace format");
_Static_assert(sizeof(struct krr_times) == 928, "trace format");
_Static_assert(KRR_CHUNK_TYPES <= 16, "KrrIndexHeader.section");

#endif
