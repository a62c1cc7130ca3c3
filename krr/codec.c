/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <stdio.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "codec.h"

/* Records shrink about four times at any level; the lowest keeps up with the guest. */
#define KRR_ZSTD_LEVEL 1

struct KrrCodec {
    ZSTD_CCtx *compress;
    ZSTD_DCtx *decompress;
    void *buffer;
    size_t capacity;
};

uint32_t krr_crc(const void *data, size_t length)
{
    return length ? crc32_z(0, data, length) : 0;
}

void krr_seal(void *header, size_t size)
{
    uint32_t crc = krr_crc(header, size - sizeof(crc));

    memcpy((char *)header + size - sizeof(crc), &crc, sizeof(crc));
}

bool krr_sealed(const void *header, size_t size)
{
    uint32_t crc = krr_crc(header, size - sizeof(crc));

    return !memcmp((const char *)header + size - sizeof(crc), &crc, sizeof(crc));
}

const char *krr_chunk_check(const KrrChunkHeader *header)
{
    if (header->magic != KRR_CHUNK_MAGIC) {
        return "no chunk starts here";
    }
    if (!krr_sealed(header, sizeof(*header))) {
        return "checksum of the chunk header is wrong";
    }
    if (header->raw_length > KRR_CHUNK_MAX) {
        return "chunk is longer than the format allows";
    }
    switch (header->codec) {
    case KRR_CODEC_RAW:
        return header->stored_length == header->raw_length ? NULL
               : "lengths of an uncompressed chunk differ";
    case KRR_CODEC_ZSTD:
        return header->stored_length < header->raw_length ? NULL
               : "compressed chunk is longer than its contents";
    default:
        return "unknown compression";
    }
}

const char *krr_chunk_name(unsigned type)
{
    static const char *const names[KRR_CHUNK_TYPES] = {
        [KRR_CHUNK_MACHINE] = "machine",
        [KRR_CHUNK_CPU] = "cpu",
        [KRR_CHUNK_RAM] = "ram",
        [KRR_CHUNK_START] = "start",
        [KRR_CHUNK_EVENTS] = "events",
        [KRR_CHUNK_FINAL_RAM] = "final-ram",
        [KRR_CHUNK_STATISTICS] = "statistics",
        [KRR_CHUNK_FOOTER] = "footer",
        [KRR_CHUNK_INDEX] = "index",
    };
    static __thread char unknown[32];

    if (type < KRR_CHUNK_TYPES && names[type]) {
        return names[type];
    }
    snprintf(unknown, sizeof(unknown), "chunk type %u", type);
    return unknown;
}

KrrCodec *krr_codec_new(void)
{
    return g_new0(KrrCodec, 1);
}

void krr_codec_free(KrrCodec *codec)
{
    if (codec) {
        ZSTD_freeCCtx(codec->compress);
        ZSTD_freeDCtx(codec->decompress);
        g_free(codec->buffer);
        g_free(codec);
    }
}

/* Compressed size, or 0 when it would not be smaller than @length. */
static size_t shrink(KrrCodec *codec, const void *raw, uint32_t length)
{
    size_t size;

    if (!codec->compress) {
        codec->compress = ZSTD_createCCtx();
    }
    if (codec->capacity < length) {
        g_free(codec->buffer);
        codec->buffer = g_malloc(length);
        codec->capacity = length;
    }
    if (!codec->compress || length < 2) {
        return 0;
    }
    size = ZSTD_compressCCtx(codec->compress, codec->buffer, length - 1, raw, length,
                             KRR_ZSTD_LEVEL);
    return ZSTD_isError(size) ? 0 : size;
}

const void *krr_codec_encode(KrrCodec *codec, KrrChunkHeader *header, const void *raw,
                             uint32_t length)
{
    size_t size = shrink(codec, raw, length);
    const void *stored = size ? codec->buffer : raw;

    header->magic = KRR_CHUNK_MAGIC;
    header->codec = size ? KRR_CODEC_ZSTD : KRR_CODEC_RAW;
    header->raw_length = length;
    header->stored_length = size ? size : length;
    header->payload_crc = krr_crc(stored, header->stored_length);
    krr_seal(header, sizeof(*header));
    return stored;
}

const char *krr_codec_decode(KrrCodec *codec, const KrrChunkHeader *header, const void *stored,
                             void *raw)
{
    size_t size;

    if (krr_crc(stored, header->stored_length) != header->payload_crc) {
        return "checksum of the contents is wrong";
    }
    if (header->codec == KRR_CODEC_RAW) {
        if (header->raw_length) {
            memcpy(raw, stored, header->raw_length);
        }
        return NULL;
    }
    if (!codec->decompress) {
        codec->decompress = ZSTD_createDCtx();
    }
    if (!codec->decompress) {
        return "out of memory for decompression";
    }
    size = ZSTD_decompressDCtx(codec->decompress, raw, header->raw_length, stored,
                               header->stored_length);
    if (ZSTD_isError(size) || size != header->raw_length) {
        return "contents cannot be decompressed";
    }
    return NULL;
}
