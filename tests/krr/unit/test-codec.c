/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"
#include "krr/codec.h"
#include "krr/index.h"

static void round_trip(const uint8_t *data, uint32_t length, uint32_t codec)
{
    KrrCodec *c = krr_codec_new();
    KrrChunkHeader header = { .type = KRR_CHUNK_EVENTS };
    const void *stored = krr_codec_encode(c, &header, data, length);
    uint8_t *back = g_malloc(length + 1);

    assert_int_equal(header.codec, codec);
    assert_int_equal(header.raw_length, length);
    assert_null(krr_chunk_check(&header));
    assert_null(krr_codec_decode(c, &header, stored, back));
    if (length) {
        assert_memory_equal(back, data, length);
    }
    g_free(back);
    krr_codec_free(c);
}

static void repetitive_data_is_compressed(void **state)
{
    uint8_t *data = g_malloc(KRR_CHUNK_EVENTS_SIZE);

    (void)state;
    memset(data, 7, KRR_CHUNK_EVENTS_SIZE);
    round_trip(data, KRR_CHUNK_EVENTS_SIZE, KRR_CODEC_ZSTD);
    round_trip(data, 100, KRR_CODEC_ZSTD);
    g_free(data);
}

static void random_data_is_stored_as_it_is(void **state)
{
    uint8_t *data = g_malloc(100000);
    uint64_t random = 2;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        data[i] = random_next(&random);
    }
    round_trip(data, 100000, KRR_CODEC_RAW);
    for (uint32_t length = 0; length < 20; length++) {
        round_trip(data, length, KRR_CODEC_RAW);
    }
    g_free(data);
}

static void every_flipped_bit_breaks_a_seal(void **state)
{
    KrrFileHeader header = { .magic = KRR_FILE_MAGIC, .version = 1, .size = sizeof(header) };

    (void)state;
    assert_false(krr_sealed(&header, sizeof(header)));
    krr_seal(&header, sizeof(header));
    assert_true(krr_sealed(&header, sizeof(header)));
    for (unsigned bit = 0; bit < 8 * sizeof(header); bit++) {
        ((uint8_t *)&header)[bit / 8] ^= 1u << bit % 8;
        assert_false(krr_sealed(&header, sizeof(header)));
        ((uint8_t *)&header)[bit / 8] ^= 1u << bit % 8;
    }
}

static void every_chunk_type_has_its_own_name(void **state)
{
    (void)state;
    for (unsigned type = 1; type < KRR_CHUNK_TYPES; type++) {
        assert_null(strstr(krr_chunk_name(type), "chunk type"));
        for (unsigned other = 1; other < type; other++) {
            assert_string_not_equal(krr_chunk_name(type), krr_chunk_name(other));
        }
    }
    assert_string_equal(krr_chunk_name(0), "chunk type 0");
    assert_string_equal(krr_chunk_name(99), "chunk type 99");
    assert_string_equal(krr_chunk_name(0xffffffff), "chunk type 4294967295");
}

static void every_flipped_bit_of_a_header_is_found(void **state)
{
    KrrCodec *c = krr_codec_new();
    KrrChunkHeader header = { .type = KRR_CHUNK_EVENTS };

    (void)state;
    krr_codec_encode(c, &header, "abc", 3);
    for (unsigned bit = 0; bit < 8 * sizeof(header); bit++) {
        ((uint8_t *)&header)[bit / 8] ^= 1u << bit % 8;
        assert_non_null(krr_chunk_check(&header));
        ((uint8_t *)&header)[bit / 8] ^= 1u << bit % 8;
    }
    assert_null(krr_chunk_check(&header));
    krr_codec_free(c);
}

static void every_flipped_bit_of_the_contents_is_found(void **state)
{
    KrrCodec *c = krr_codec_new(), *d = krr_codec_new();
    KrrChunkHeader header = { .type = KRR_CHUNK_EVENTS };
    uint8_t data[500] = { 1, 2, 3 }, back[500];
    uint8_t *stored;

    (void)state;
    stored = (uint8_t *)krr_codec_encode(c, &header, data, sizeof(data));
    for (unsigned bit = 0; bit < 8 * header.stored_length; bit++) {
        stored[bit / 8] ^= 1u << bit % 8;
        assert_non_null(krr_codec_decode(d, &header, stored, back));
        stored[bit / 8] ^= 1u << bit % 8;
    }
    assert_null(krr_codec_decode(d, &header, stored, back));
    krr_codec_free(c);
    krr_codec_free(d);
}

static void sealed(KrrChunkHeader *header)
{
    krr_seal(header, sizeof(*header));
}

static void impossible_lengths_are_refused(void **state)
{
    KrrChunkHeader header = {
        .magic = KRR_CHUNK_MAGIC, .raw_length = KRR_CHUNK_MAX + 1, .stored_length = 10,
        .codec = KRR_CODEC_ZSTD,
    };

    (void)state;
    sealed(&header);
    assert_non_null(krr_chunk_check(&header));
    header.raw_length = header.stored_length = 0xffffffff;
    sealed(&header);
    assert_non_null(krr_chunk_check(&header));
    header.raw_length = 10;
    header.stored_length = 11;
    sealed(&header);
    assert_non_null(krr_chunk_check(&header));
    header.codec = KRR_CODEC_RAW;
    header.stored_length = 9;
    sealed(&header);
    assert_non_null(krr_chunk_check(&header));
    header.codec = 77;
    header.stored_length = 10;
    sealed(&header);
    assert_string_equal(krr_chunk_check(&header), "unknown compression");
}

/* The checksum is right, the compressed data is not: only a hostile file has that. */
static void hostile_compressed_data_is_refused(void **state)
{
    KrrCodec *c = krr_codec_new(), *d = krr_codec_new();
    KrrChunkHeader header = { .type = KRR_CHUNK_EVENTS };
    uint8_t data[2000], *stored, *back;
    uint64_t random = 3;

    (void)state;
    for (unsigned i = 0; i < sizeof(data); i++) {
        data[i] = i % 7 * (i % 11);
    }
    stored = (uint8_t *)krr_codec_encode(c, &header, data, sizeof(data));
    assert_int_equal(header.codec, KRR_CODEC_ZSTD);
    for (unsigned i = 0; i < 5000; i++) {
        uint8_t *mine = g_memdup2(stored, header.stored_length);
        KrrChunkHeader h = header;
        uint32_t length = random_next(&random) % 4000;

        mine[random_next(&random) % h.stored_length] ^= 1 + random_next(&random) % 255;
        h.raw_length = MAX(length, h.stored_length + 1);
        h.payload_crc = krr_crc(mine, h.stored_length);
        sealed(&h);
        assert_null(krr_chunk_check(&h));
        back = g_malloc(h.raw_length);
        /* The sanitizers watch, too. A change in a literal changes no length. */
        if (!krr_codec_decode(d, &h, mine, back)) {
            assert_int_equal(h.raw_length, sizeof(data));
        }
        g_free(back);
        g_free(mine);
    }
    krr_codec_free(c);
    krr_codec_free(d);
}

static void wrong_decompressed_length_is_refused(void **state)
{
    KrrCodec *c = krr_codec_new();
    KrrChunkHeader header = { .type = KRR_CHUNK_EVENTS };
    uint8_t data[1000] = { 0 }, back[1001];
    const void *stored = krr_codec_encode(c, &header, data, sizeof(data));

    (void)state;
    header.raw_length++;
    assert_non_null(krr_codec_decode(c, &header, stored, back));
    header.raw_length -= 2;
    assert_non_null(krr_codec_decode(c, &header, stored, back));
    krr_codec_free(c);
}

/* ---- index ---- */

static void index_finds_the_chunk_at_or_before_a_record(void **state)
{
    KrrIndex *index = g_new(KrrIndex, 1);

    (void)state;
    krr_index_init(index);
    assert_int_equal(krr_index_find(index, 5), 0);
    krr_index_add(index, KRR_CHUNK_EVENTS, 1000, 0);
    krr_index_add(index, KRR_CHUNK_EVENTS, 2000, 10);
    krr_index_add(index, KRR_CHUNK_EVENTS, 3000, 20);
    assert_int_equal(krr_index_find(index, 0), 1000);
    assert_int_equal(krr_index_find(index, 9), 1000);
    assert_int_equal(krr_index_find(index, 10), 2000);
    assert_int_equal(krr_index_find(index, 19), 2000);
    assert_int_equal(krr_index_find(index, 999), 3000);
    g_free(index);
}

static void index_stays_small_however_long_the_trace(void **state)
{
    KrrIndex *index = g_new(KrrIndex, 1), *loaded = g_new(KrrIndex, 1);
    uint8_t *buffer = g_malloc(sizeof(*index));
    uint32_t length;

    (void)state;
    krr_index_init(index);
    for (uint64_t i = 0; i < 1000000; i++) {
        krr_index_add(index, KRR_CHUNK_EVENTS, 100 + i * 10, i);
    }
    assert_in_range(index->header.count, KRR_INDEX_MAX / 2, KRR_INDEX_MAX);
    for (uint32_t i = 0; i < index->header.count; i++) {
        assert_int_equal(index->entry[i].record, (uint64_t)i * index->header.stride);
    }
    for (uint64_t i = 0; i < 1000000; i += 997) {
        uint64_t record = (krr_index_find(index, i) - 100) / 10;

        assert_true(record <= i && i - record < index->header.stride);
    }
    length = krr_index_store(index, buffer, sizeof(*index));
    assert_null(krr_index_load(loaded, buffer, length, 1ull << 40));
    assert_memory_equal(loaded->entry, index->entry, index->header.count * sizeof(KrrIndexEntry));
    assert_non_null(krr_index_load(loaded, buffer, length - 1, 1ull << 40));
    assert_non_null(krr_index_load(loaded, buffer, length, 100));
    assert_non_null(krr_index_load(loaded, buffer, 3, 1ull << 40));
    g_free(buffer);
    g_free(index);
    g_free(loaded);
}

static void index_in_disorder_is_refused(void **state)
{
    KrrIndex *index = g_new(KrrIndex, 1), *loaded = g_new(KrrIndex, 1);
    uint8_t *buffer = g_malloc(sizeof(*index));
    uint32_t length;

    (void)state;
    krr_index_init(index);
    krr_index_add(index, KRR_CHUNK_EVENTS, 1000, 10);
    krr_index_add(index, KRR_CHUNK_EVENTS, 900, 20);
    length = krr_index_store(index, buffer, sizeof(*index));
    assert_non_null(krr_index_load(loaded, buffer, length, 1ull << 40));
    index->entry[1] = (KrrIndexEntry) { 1100, 10 };
    length = krr_index_store(index, buffer, sizeof(*index));
    assert_non_null(krr_index_load(loaded, buffer, length, 1ull << 40));
    g_free(buffer);
    g_free(index);
    g_free(loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(repetitive_data_is_compressed),
        cmocka_unit_test(random_data_is_stored_as_it_is),
        cmocka_unit_test(every_flipped_bit_breaks_a_seal),
        cmocka_unit_test(every_chunk_type_has_its_own_name),
        cmocka_unit_test(every_flipped_bit_of_a_header_is_found),
        cmocka_unit_test(every_flipped_bit_of_the_contents_is_found),
        cmocka_unit_test(impossible_lengths_are_refused),
        cmocka_unit_test(hostile_compressed_data_is_refused),
        cmocka_unit_test(wrong_decompressed_length_is_refused),
        cmocka_unit_test(index_finds_the_chunk_at_or_before_a_record),
        cmocka_unit_test(index_stays_small_however_long_the_trace),
        cmocka_unit_test(index_in_disorder_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
