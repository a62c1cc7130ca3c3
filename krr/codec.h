/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Checksums and compression of a trace file's parts. */
#ifndef KRR_CODEC_H
#define KRR_CODEC_H

#include <glib.h>
#include <stdbool.h>
#include "format.h"

/* The last four bytes of a header or trailer are the CRC of all before them. */
void krr_seal(void *header, size_t size);
bool krr_sealed(const void *header, size_t size);
uint32_t krr_crc(const void *data, size_t length);

/* NULL, or what is wrong with a chunk header (a static string): checksum,
 * lengths, codec. Unknown types are for the caller to judge. */
const char *krr_chunk_check(const KrrChunkHeader *header);
/* "events", or "chunk type 99". Never NULL. */
const char *krr_chunk_name(unsigned type);

static inline bool krr_chunk_known(unsigned type)
{
    return type && type < KRR_CHUNK_TYPES;
}

typedef struct KrrCodec KrrCodec;

KrrCodec *krr_codec_new(void);
void krr_codec_free(KrrCodec *codec);

/*
 * Compresses @raw and completes @header: codec, lengths and both checksums; all
 * other fields are the caller's. Returns the bytes to store,
 * header->stored_length of them: @raw itself when it does not shrink, else the
 * codec's own memory, valid until the next call.
 */
const void *krr_codec_encode(KrrCodec *codec, KrrChunkHeader *header, const void *raw,
                             uint32_t length);

/*
 * The reverse: checks @stored against @header, which has passed
 * krr_chunk_check(), and fills @raw, header->raw_length bytes. Returns NULL, or what is
 * wrong (a static string).
 */
const char *krr_codec_decode(KrrCodec *codec, const KrrChunkHeader *header, const void *stored,
                             void *raw);

#endif
