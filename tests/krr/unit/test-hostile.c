/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Damaged and hostile traces. Damage by chance (flips, truncation) must be noticed, and
 * all records before it must be delivered. A forged trace (checksums made good
 * again) may say anything; it must not harm the reader.
 */
#define _GNU_SOURCE      /* memfd_create */
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common.h"
#include "krr/codec.h"

typedef struct Image {
    uint8_t *data;
    gsize length;
} Image;

static Image good;

/* Small, but with each type of chunk. */
static const TraceSpec spec = {
    .vcpus = 1, .records = 60, .flush_every = 20, .ram_pages = 2, .final_pages = 1
};

static int set_up(void **state)
{
    char *path;

    if (make_temp_dir(state)) {
        return -1;
    }
    path = temp_path("good.krr");
    write_trace(path, &spec);
    g_file_get_contents(path, (char **)&good.data, &good.length, NULL);
    g_free(path);
    return good.data ? 0 : -1;
}

static int tear_down(void **state)
{
    g_free(good.data);
    return remove_temp_dir(state);
}

/* ---- reading everything ---- */

typedef struct Outcome {
    bool opened, complete;
    bool noticed;               /* some call reported damage */
    uint64_t records;           /* delivered */
    uint64_t count;             /* promised */
} Outcome;

static bool take_run(uint64_t address, const void *data, size_t length, void *opaque, GError **errp)
{
    volatile uint8_t sum = 0;

    (void)opaque;
    (void)errp;
    assert_true(address % 4096 == 0 && length % 4096 == 0 && length);
    for (size_t i = 0; i < length; i += 512) {
        sum += ((const uint8_t *)data)[i];
    }
    return true;
}

static bool take_chunk(const KrrChunkInfo *info, void *opaque, GError **errp)
{
    (void)opaque;
    (void)errp;
    assert_non_null(info->name);
    return true;
}

static void noticed(Outcome *o, GError **error)
{
    assert_non_null(*error);
    assert_true(strlen((*error)->message) > 10);
    o->noticed = true;
    g_clear_error(error);
}

/* @exact: records must be those of the good trace. */
static uint64_t take_records(KrrReader *r, bool exact, GError **error)
{
    const struct krr_record *record;
    uint64_t count = 0;
    char *text;

    if (exact) {
        return check_records(r, 0, error);
    }
    while ((record = krr_reader_peek(r, error))) {
        text = krr_record_describe(record);
        g_free(text);
        krr_reader_next(r);
        count++;
    }
    return count;
}

static Outcome read_all(const char *path, bool exact)
{
    Outcome o = { 0 };
    GError *error = NULL;
    KrrReader *r = krr_reader_open(path, &error);

    if (!r) {
        noticed(&o, &error);
        return o;
    }
    assert_null(error);
    o.opened = true;
    o.complete = krr_reader_complete(r);
    o.count = krr_reader_count(r);
    o.noticed = !o.complete;
    if (!krr_reader_ram(r, false, take_run, NULL, &error)) {
        noticed(&o, &error);
    }
    o.records = take_records(r, exact, &error);
    if (error) {
        noticed(&o, &error);
    }
    if (krr_reader_has_final_ram(r) && !krr_reader_ram(r, true, take_run, NULL, &error)) {
        noticed(&o, &error);
    }
    if (!krr_reader_chunks(r, true, take_chunk, NULL, &error)) {
        noticed(&o, &error);
    }
    for (uint64_t i = 0; i <= 60; i += 7) {
        if (!krr_reader_seek(r, i, &error)) {
            noticed(&o, &error);
        }
    }
    krr_reader_free(r);
    return o;
}

/* In memory: there are thousands of them. */
static Outcome read_image(const uint8_t *data, gsize length, bool exact)
{
    int fd = memfd_create("trace", MFD_CLOEXEC);
    char *path = g_strdup_printf("/proc/self/fd/%d", fd);
    Outcome o;

    assert_int_equal(write(fd, data, length), length);
    o = read_all(path, exact);
    close(fd);
    g_free(path);
    return o;
}

/* ---- the good trace's chunks ---- */

static gsize next_chunk(const Image *image, gsize offset)
{
    KrrChunkHeader header;

    memcpy(&header, image->data + offset, sizeof(header));
    return offset + sizeof(header) + header.stored_length;
}

/* Records in whole chunks below @limit, or -1 if the snapshot is not whole. */
static int64_t records_below(gsize limit)
{
    gsize offset = sizeof(KrrFileHeader);
    int64_t records = -1;
    KrrChunkHeader header;

    while (offset + sizeof(header) <= good.length - sizeof(KrrTrailer)) {
        memcpy(&header, good.data + offset, sizeof(header));
        offset = next_chunk(&good, offset);
        if (offset > limit) {
            break;
        }
        if (header.type == KRR_CHUNK_START) {
            records = 0;
        } else if (header.type == KRR_CHUNK_EVENTS) {
            records += header.record_count;
        }
    }
    return records;
}

static void good_trace_reads_without_complaint(void **state)
{
    Outcome o = read_image(good.data, good.length, true);

    (void)state;
    assert_true(o.opened && o.complete && !o.noticed);
    assert_int_equal(o.records, spec.records);
}

static void truncation_anywhere_keeps_all_whole_chunks(void **state)
{
    (void)state;
    for (gsize length = 0; length < good.length; length++) {
        int64_t expected = records_below(length);
        Outcome o = read_image(good.data, length, true);

        if (!o.noticed || o.complete) {
            fail_msg("truncation to %zu bytes was not noticed", length);
        }
        assert_int_equal(o.opened, expected >= 0);
        if (o.opened) {
            assert_int_equal(o.records, expected);
            assert_int_equal(o.count, expected);
        }
    }
}

static void assert_flip_noticed(const uint8_t *image, gsize place)
{
    int64_t before = records_below(place);
    Outcome o = read_image(image, good.length, true);

    if (!o.noticed) {
        fail_msg("damage at byte %zu was not noticed", place);
    }
    assert_true(before < 0 || (o.opened && (int64_t)o.records >= before));
}

static void every_flipped_bit_is_noticed(void **state)
{
    uint8_t *image = g_memdup2(good.data, good.length);

    (void)state;
    for (gsize place = 0; place < good.length; place++) {
        unsigned bit = place % 8;

        image[place] ^= 1u << bit;
        assert_flip_noticed(image, place);
        image[place] ^= 1u << bit;
    }
    g_free(image);
}

static void every_overwritten_byte_is_noticed(void **state)
{
    uint8_t *image = g_memdup2(good.data, good.length);

    (void)state;
    for (gsize place = 0; place < good.length; place++) {
        uint8_t before = image[place];

        image[place] = ~before;
        assert_flip_noticed(image, place);
        image[place] = before;
    }
    g_free(image);
}

static void appended_bytes_are_noticed(void **state)
{
    uint8_t *image = g_malloc0(good.length + 100);
    Outcome o;

    (void)state;
    memcpy(image, good.data, good.length);
    for (gsize more = 1; more <= 100; more++) {
        o = read_image(image, good.length + more, true);
        assert_true(o.noticed);
        assert_int_equal(o.records, spec.records);
    }
    g_free(image);
}

static void zeroed_tail_keeps_what_is_before(void **state)
{
    uint8_t *image = g_memdup2(good.data, good.length);

    (void)state;
    /* What a file system may leave after the host crashed. */
    for (gsize place = good.length - 1; place > sizeof(KrrFileHeader); place--) {
        int64_t expected = records_below(place);
        Outcome o;

        image[place] = 0;
        if (place % 16) {
            continue;
        }
        o = read_image(image, good.length, true);
        assert_true(o.noticed);
        assert_true(expected < 0 || (o.opened && (int64_t)o.records >= expected));
    }
    g_free(image);
}

static void missing_swapped_and_doubled_chunks_are_noticed(void **state)
{
    gsize offsets[64], count = 0, offset = sizeof(KrrFileHeader);
    uint8_t *image = g_malloc(2 * good.length);

    (void)state;
    while (offset < good.length - sizeof(KrrTrailer)) {
        offsets[count++] = offset;
        offset = next_chunk(&good, offset);
    }
    offsets[count] = offset;
    for (gsize i = 0; i < count; i++) {
        gsize size = offsets[i + 1] - offsets[i];
        gsize after = good.length - offsets[i + 1];

        memcpy(image, good.data, offsets[i]);
        memcpy(image + offsets[i], good.data + offsets[i + 1], after);
        assert_true(read_image(image, good.length - size, true).noticed);

        memcpy(image, good.data, offsets[i + 1]);
        memcpy(image + offsets[i + 1], good.data + offsets[i], size + after);
        assert_true(read_image(image, good.length + size, true).noticed);
    }
    g_free(image);
}

/* ---- forged traces ---- */

typedef struct Chunk {
    KrrChunkHeader header;
    uint8_t *raw;
    uint32_t length;            /* of raw, whatever the header says */
} Chunk;

#define CHUNKS_MAX 32

static unsigned unpack(Chunk *chunks)
{
    KrrCodec *codec = krr_codec_new();
    gsize offset = sizeof(KrrFileHeader);
    unsigned count = 0;

    while (offset < good.length - sizeof(KrrTrailer)) {
        Chunk *c = &chunks[count++];

        assert_true(count <= CHUNKS_MAX);
        memcpy(&c->header, good.data + offset, sizeof(c->header));
        c->length = c->header.raw_length;
        c->raw = g_malloc(c->length + 1);
        assert_null(krr_codec_decode(codec, &c->header, good.data + offset + sizeof(c->header),
                                     c->raw));
        offset = next_chunk(&good, offset);
    }
    krr_codec_free(codec);
    return count;
}

/* All checksums are right. @odd: chunk whose header is left as it is but for them, or -1. */
static GByteArray *pack(Chunk *chunks, unsigned count, int odd)
{
    GByteArray *image = g_byte_array_new();
    KrrCodec *codec = krr_codec_new();
    KrrTrailer trailer;

    memcpy(&trailer, good.data + good.length - sizeof(trailer), sizeof(trailer));
    g_byte_array_append(image, good.data, sizeof(KrrFileHeader));
    for (unsigned i = 0; i < count; i++) {
        KrrChunkHeader header = chunks[i].header;
        const void *stored = krr_codec_encode(codec, &header, chunks[i].raw, chunks[i].length);
        uint32_t length = header.stored_length;

        if ((int)i == odd) {
            uint32_t crc = header.payload_crc;

            header = chunks[i].header;
            header.payload_crc = crc;
            krr_seal(&header, sizeof(header));
        }
        if (header.type == KRR_CHUNK_INDEX) {
            trailer.index_offset = image->len;
        }
        g_byte_array_append(image, (void *)&header, sizeof(header));
        g_byte_array_append(image, stored, length);
    }
    trailer.file_size = image->len + sizeof(trailer);
    krr_seal(&trailer, sizeof(trailer));
    g_byte_array_append(image, (void *)&trailer, sizeof(trailer));
    krr_codec_free(codec);
    return image;
}

static void free_chunks(Chunk *chunks, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        g_free(chunks[i].raw);
    }
}

static const uint32_t nasty[] = {
    0, 1, 7, 8, 0x7f, 0xff, 0x1000, 0xffff, 0x10000, 0x7fffffff, 0x80000000, 0xfffffff8,
    0xffffffff, KRR_CHUNK_MAX, KRR_CHUNK_MAX + 1,
};

static void mutate(uint8_t *data, size_t length, uint64_t *random)
{
    uint32_t value = nasty[random_next(random) % G_N_ELEMENTS(nasty)];
    size_t place;

    if (!length) {
        return;
    }
    place = random_next(random) % length;
    switch (random_next(random) % 3) {
    case 0:
        data[place] ^= 1u << random_next(random) % 8;
        break;
    case 1:
        place &= ~(size_t)3;
        memcpy(data + place, &value, MIN(sizeof(value), length - place));
        break;
    default:
        data[place] = random_next(random);
    }
}

static unsigned fuzz_rounds(void)
{
    const char *rounds = getenv("KRR_FUZZ_ROUNDS");

    return rounds ? strtoul(rounds, NULL, 10) : 4000;
}

static void forged_contents_do_no_harm(void **state)
{
    uint64_t random = 10;

    (void)state;
    for (unsigned i = 0; i < fuzz_rounds(); i++) {
        Chunk chunks[CHUNKS_MAX];
        unsigned count = unpack(chunks);
        Chunk *c = &chunks[random_next(&random) % count];
        GByteArray *image;

        /* The interesting fields are at the start. */
        mutate(c->raw, random_next(&random) % 2 ? MIN(c->length, 160u) : c->length,
               &random);
        mutate(c->raw, c->length, &random);
        image = pack(chunks, count, -1);
        read_image(image->data, image->len, false);
        g_byte_array_free(image, TRUE);
        free_chunks(chunks, count);
    }
}

static void forged_headers_do_no_harm(void **state)
{
    uint64_t random = 11;

    (void)state;
    for (unsigned i = 0; i < fuzz_rounds(); i++) {
        Chunk chunks[CHUNKS_MAX];
        unsigned count = unpack(chunks);
        unsigned n = random_next(&random) % count;
        GByteArray *image;

        mutate((uint8_t *)&chunks[n].header, sizeof(chunks[n].header), &random);
        image = pack(chunks, count, -1);
        read_image(image->data, image->len, false);
        g_byte_array_free(image, TRUE);
        image = pack(chunks, count, n);
        read_image(image->data, image->len, false);
        g_byte_array_free(image, TRUE);
        free_chunks(chunks, count);
    }
}

static void forged_order_does_no_harm(void **state)
{
    uint64_t random = 12;

    (void)state;
    for (unsigned i = 0; i < fuzz_rounds(); i++) {
        Chunk chunks[CHUNKS_MAX], swap;
        unsigned count = unpack(chunks);
        unsigned a = random_next(&random) % count, b = random_next(&random) % count;
        GByteArray *image;

        swap = chunks[a];
        chunks[a] = chunks[b];
        chunks[b] = swap;
        if (random_next(&random) % 2) {
            for (unsigned j = 0; j < count; j++) {
                chunks[j].header.sequence = j;
            }
        }
        image = pack(chunks, count, -1);
        read_image(image->data, image->len, false);
        g_byte_array_free(image, TRUE);
        free_chunks(chunks, count);
    }
}

static void unknown_optional_chunks_are_skipped(void **state)
{
    Chunk chunks[CHUNKS_MAX];
    unsigned count = unpack(chunks), events = 0;
    GByteArray *image;
    Outcome o;

    (void)state;
    while (chunks[events].header.type != KRR_CHUNK_EVENTS) {
        events++;
    }
    /* An unknown chunk between two chunks of events. */
    memmove(&chunks[events + 2], &chunks[events + 1], (count - events - 1) * sizeof(Chunk));
    chunks[events + 1] = (Chunk) {
        .header = {
            .type = 99, .flags = KRR_CHUNK_OPTIONAL,
            .first_record = chunks[events].header.record_count,
        },
        .raw = (uint8_t *)g_strdup("extra"),
        .length = 5,
    };
    count++;
    for (unsigned i = 0; i < count; i++) {
        chunks[i].header.sequence = i;
    }
    /* Offsets in the index are wrong now; without a trailer the reader scans. */
    image = pack(chunks, count - 1, -1);
    o = read_image(image->data, image->len - sizeof(KrrTrailer), true);
    assert_true(o.opened);
    assert_int_equal(o.records, spec.records);
    g_byte_array_free(image, TRUE);

    chunks[events + 1].header.flags = 0;
    image = pack(chunks, count - 1, -1);
    o = read_image(image->data, image->len - sizeof(KrrTrailer), true);
    assert_true(o.opened && o.noticed);
    assert_int_equal(o.records, chunks[events].header.record_count);
    g_byte_array_free(image, TRUE);
    free_chunks(chunks, count);
}

static void random_bytes_do_no_harm(void **state)
{
    uint64_t random = 13;
    uint8_t data[600];

    (void)state;
    for (unsigned i = 0; i < fuzz_rounds() / 4; i++) {
        for (unsigned j = 0; j < sizeof(data); j++) {
            data[j] = random_next(&random);
        }
        memcpy(data, good.data, random_next(&random) % 200);
        assert_true(read_image(data, sizeof(data), false).noticed);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_trace_reads_without_complaint),
        cmocka_unit_test(truncation_anywhere_keeps_all_whole_chunks),
        cmocka_unit_test(every_flipped_bit_is_noticed),
        cmocka_unit_test(every_overwritten_byte_is_noticed),
        cmocka_unit_test(appended_bytes_are_noticed),
        cmocka_unit_test(zeroed_tail_keeps_what_is_before),
        cmocka_unit_test(missing_swapped_and_doubled_chunks_are_noticed),
        cmocka_unit_test(forged_contents_do_no_harm),
        cmocka_unit_test(forged_headers_do_no_harm),
        cmocka_unit_test(forged_order_does_no_harm),
        cmocka_unit_test(unknown_optional_chunks_are_skipped),
        cmocka_unit_test(random_bytes_do_no_harm),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
