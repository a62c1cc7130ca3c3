/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"
#include "krr/ring.h"

#define SIZE KRR_RING_MIN
#define VCPUS 2

typedef struct Fixture {
    KrrRing ring;
    void *bar;
    uint64_t taken;             /* records */
    uint64_t expected;          /* number of the next one */
    uint64_t refuse_at;         /* the drain function refuses this one */
} Fixture;

static int set_up(void **state)
{
    Fixture *f = g_new0(Fixture, 1);

    f->bar = g_malloc0(krr_ring_bar_size(SIZE));
    krr_ring_init(&f->ring, f->bar, SIZE, VCPUS, KRR_FLAG_START_BOOT);
    f->refuse_at = G_MAXUINT64;
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    Fixture *f = *state;

    g_free(f->bar);
    g_free(f);
    return 0;
}

/* Takes records of append_value(). */
static bool take(const struct krr_record *record, void *opaque, GError **errp)
{
    Fixture *f = opaque;

    if (f->expected == f->refuse_at) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_IO, "refused");
        return false;
    }
    assert_int_equal(record->kind, KRR_KIND_TSC);
    assert_int_equal(record->ordinal, f->expected);
    f->expected++;
    f->taken++;
    return true;
}

static bool count(const struct krr_record *record, void *opaque, GError **errp)
{
    (void)errp;
    assert_null(krr_record_check(record, record->size, VCPUS));
    ((Fixture *)opaque)->taken++;
    return true;
}

static int append_value(Fixture *f, uint64_t number)
{
    struct krr_record record = { KRR_KIND_TSC, 0, 24, 0, number };
    struct krr_value value = { number };
    GError *error = NULL;
    int result = krr_ring_append(&f->ring, &record, &value, &error);

    assert_no_error(error);
    return result;
}

static void assert_drain_refused(Fixture *f, const char *part)
{
    GError *error = NULL;

    assert_int_equal(krr_ring_drain(&f->ring, count, f, &error), -1);
    assert_error(&error, KRR_ERROR_GUEST, part);
}

static void layout_is_described_in_the_shared_page(void **state)
{
    Fixture *f = *state;
    const struct krr_shared *s = f->bar;

    assert_int_equal(s->magic, KRR_ABI_MAGIC);
    assert_int_equal(s->version, KRR_ABI_VERSION);
    assert_int_equal(s->vcpus, VCPUS);
    assert_int_equal(s->flags, KRR_FLAG_START_BOOT);
    assert_int_equal(s->ring_size, SIZE);
    assert_true(s->area_offset >= sizeof(*s));
    assert_int_equal(s->area_offset % KRR_AREA_SIZE, 0);
    assert_true(s->ring_offset >= s->area_offset + KRR_MAX_VCPUS * KRR_AREA_SIZE);
    assert_true(s->ring_offset + SIZE <= krr_ring_bar_size(SIZE));
    assert_ptr_equal(f->ring.data, (uint8_t *)f->bar + s->ring_offset);
    assert_ptr_equal(krr_ring_area(&f->ring, 1),
                     (uint8_t *)f->bar + s->area_offset + KRR_AREA_SIZE);
    assert_int_equal(krr_ring_area(&f->ring, 1)->vcpu, 1);
}

static void bar_sizes_are_powers_of_two_that_fit(void **state)
{
    (void)state;
    for (uint64_t size = KRR_RING_MIN; size <= KRR_RING_MAX; size *= 2) {
        uint64_t bar = krr_ring_bar_size(size);

        assert_int_equal(bar & (bar - 1), 0);
        assert_true(bar > size + KRR_MAX_VCPUS * KRR_AREA_SIZE);
    }
}

static void empty_ring_gives_nothing(void **state)
{
    Fixture *f = *state;

    assert_int_equal(krr_ring_drain(&f->ring, take, f, NULL), 0);
    assert_int_equal(krr_ring_used(&f->ring), 0);
}

static void records_come_out_as_they_went_in(void **state)
{
    Fixture *f = *state;

    for (uint64_t i = 0; i < 100; i++) {
        assert_int_equal(append_value(f, i), 1);
    }
    assert_int_equal(krr_ring_used(&f->ring), 2400);
    assert_int_equal(krr_ring_drain(&f->ring, take, f, NULL), 2400);
    assert_int_equal(f->taken, 100);
    assert_int_equal(f->ring.shared->ring_tail, 2400);
    assert_int_equal(krr_ring_used(&f->ring), 0);
}

static void full_ring_takes_no_more_until_drained(void **state)
{
    Fixture *f = *state;
    uint64_t number = 0;

    while (append_value(f, number) == 1) {
        number++;
    }
    assert_int_equal(number, SIZE / 24);
    assert_int_equal(append_value(f, number), 0);
    assert_true(krr_ring_used(&f->ring) <= SIZE);
    krr_ring_drain(&f->ring, take, f, NULL);
    assert_int_equal(f->taken, number);
    assert_int_equal(append_value(f, number), 1);
}

static void records_wrap_with_any_rest_at_the_end(void **state)
{
    Fixture *f = *state;
    uint64_t number = 0;

    /* 24 does not divide the size: all rests of 8, 16 and 0 bytes come. */
    for (unsigned round = 0; round < 20; round++) {
        for (unsigned i = 0; i < SIZE / 24 - 1; i++) {
            assert_int_equal(append_value(f, number++), 1);
        }
        assert_true(krr_ring_drain(&f->ring, take, f, NULL) > 0);
    }
    assert_int_equal(f->taken, number);
}

static void records_of_all_kinds_and_sizes_survive_wrapping(void **state)
{
    Fixture *f = *state;
    AnyRecord any;

    for (uint64_t i = 0; i < 50000; i++) {
        make_any(&any, i);
        while (krr_ring_append(&f->ring, &any.record, &any.record + 1, NULL) == 0) {
            assert_true(krr_ring_drain(&f->ring, count, f, NULL) > 0);
        }
    }
    assert_true(krr_ring_drain(&f->ring, count, f, NULL) > 0);
    assert_int_equal(f->taken, 50000);
}

static void the_longest_record_fits_the_smallest_ring(void **state)
{
    Fixture *f = *state;
    AnyRecord any;
    struct krr_bytes *bytes = (void *)(any.bytes + sizeof(any.record));

    make_record(&any, KRR_KIND_USER_BYTES, 0);
    bytes->length = KRR_BYTES_MAX;
    any.record.size = KRR_RECORD_MAX;
    for (unsigned i = 0; i < 100; i++) {
        while (krr_ring_append(&f->ring, &any.record, bytes, NULL) == 0) {
            assert_true(krr_ring_drain(&f->ring, count, f, NULL) > 0);
        }
        append_value(f, i);
    }
    krr_ring_drain(&f->ring, count, f, NULL);
    assert_int_equal(f->taken, 200);
}

static void refused_record_stays_in_the_ring(void **state)
{
    Fixture *f = *state;
    GError *error = NULL;

    for (uint64_t i = 0; i < 10; i++) {
        append_value(f, i);
    }
    f->refuse_at = 4;
    assert_int_equal(krr_ring_drain(&f->ring, take, f, &error), -1);
    assert_error(&error, KRR_ERROR_IO, "refused");
    assert_int_equal(f->taken, 4);
    f->refuse_at = G_MAXUINT64;
    assert_int_equal(krr_ring_drain(&f->ring, take, f, NULL), 6 * 24);
    assert_int_equal(f->taken, 10);
}

static void impossible_heads_are_errors(void **state)
{
    static const uint64_t heads[] = { SIZE + 8, SIZE + 1, 3, 1ull << 63, ~0ull, ~0ull - 7 };
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(heads); i++) {
        struct krr_record record = { KRR_KIND_HANDOFF, 0, 16, 0, 0 };
        GError *error = NULL;

        f->ring.shared->ring_head = heads[i];
        assert_drain_refused(f, "head");
        assert_int_equal(krr_ring_append(&f->ring, &record, NULL, &error), -1);
        assert_error(&error, KRR_ERROR_GUEST, "head");
    }
    assert_int_equal(f->taken, 0);
}

static void head_that_goes_backwards_is_an_error(void **state)
{
    Fixture *f = *state;

    append_value(f, 0);
    append_value(f, 1);
    krr_ring_drain(&f->ring, take, f, NULL);
    f->ring.shared->ring_head = 24;
    assert_drain_refused(f, "head");
}

static void scribbled_size_and_tail_in_the_shared_page_do_not_matter(void **state)
{
    Fixture *f = *state;

    f->ring.shared->ring_size = 0xffffffff;
    f->ring.shared->ring_offset = 0x7fffffff;
    f->ring.shared->ring_tail = 12345;
    append_value(f, 0);
    assert_int_equal(krr_ring_drain(&f->ring, take, f, NULL), 24);
    assert_int_equal(f->ring.shared->ring_tail, 24);
}

static void scribbled_records_are_errors(void **state)
{
    static const struct {
        struct krr_record record;
        const char *part;
    } bad[] = {
        { { KRR_KIND_TSC, 0, 0, 0, 0 }, "too short" },
        { { KRR_KIND_TSC, 0, 8, 0, 0 }, "too short" },
        { { KRR_KIND_TSC, 0, 25, 0, 0 }, "cut off" },
        { { KRR_KIND_TSC, 0, 0xfff8, 0, 0 }, "cut off" },
        { { KRR_KIND_TSC, 2, 24, 0, 0 }, "no such vCPU" },
        { { 99, 0, 24, 0, 0 }, "unknown kind" },
        { { KRR_KIND_PAD, 0, 24, 0, 0 }, "padding" },
        { { KRR_KIND_PAD, 0, 0, 0, 0 }, "padding" },
        { { KRR_KIND_HANDOFF, 0, 24, 0, 0 }, "does not fit" },
    };
    Fixture *f = *state;

    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        append_value(f, i);
        memcpy(f->ring.data + 24 * i, &bad[i].record, sizeof(bad[i].record));
        assert_drain_refused(f, bad[i].part);
        /* The recording ends here; the test goes on with the next. */
        f->ring.tail = f->ring.shared->ring_head;
    }
    assert_int_equal(f->taken, 0);
}

static void good_records_before_a_bad_one_are_taken(void **state)
{
    Fixture *f = *state;

    for (uint64_t i = 0; i < 5; i++) {
        append_value(f, i);
    }
    f->ring.data[3 * 24] = 99;
    assert_drain_refused(f, "position 72");
    assert_int_equal(f->taken, 3);
    assert_int_equal(krr_ring_used(&f->ring), 48);
}

static void record_across_the_end_of_the_ring_is_an_error(void **state)
{
    Fixture *f = *state;
    struct krr_record record = { KRR_KIND_TSC, 0, 24, 0, 0 };

    f->ring.tail = SIZE - 16;
    f->ring.shared->ring_head = SIZE + 8;
    memcpy(f->ring.data + SIZE - 16, &record, sizeof(record));
    assert_drain_refused(f, "cut off");
}

static void header_in_the_last_eight_bytes_is_an_error(void **state)
{
    Fixture *f = *state;
    struct krr_record record = { KRR_KIND_TSC, 0, 24, 0, 0 };

    f->ring.tail = SIZE - 8;
    f->ring.shared->ring_head = SIZE + 16;
    memcpy(f->ring.data + SIZE - 8, &record, 8);
    assert_drain_refused(f, "cut off");
}

static void random_rings_never_crash_or_hang(void **state)
{
    Fixture *f = *state;
    uint64_t random = 4;

    for (unsigned i = 0; i < 3000; i++) {
        uint64_t head = (random_next(&random) % (SIZE + 64)) & ~7ull;

        for (unsigned j = 0; j < 200; j++) {
            uint32_t place = random_next(&random) % (SIZE / 8) * 8;
            struct krr_record record = {
                random_next(&random) % 64, random_next(&random) % 3,
                random_next(&random) % 32 * 8, random_next(&random), j
            };

            memcpy(f->ring.data + place, &record, MIN(sizeof(record), SIZE - place));
        }
        f->ring.shared->ring_head = f->ring.tail + head;
        krr_ring_drain(&f->ring, count, f, NULL);
        f->ring.tail = random_next(&random) & ~7ull;
    }
}

/* ---- two threads ---- */

#define MANY 300000

static gpointer produce(gpointer opaque)
{
    Fixture *f = opaque;

    for (uint64_t i = 0; i < MANY; i++) {
        struct krr_record record = { KRR_KIND_TSC, 0, 24, 0, i };
        struct krr_value value = { i };

        while (krr_ring_append(&f->ring, &record, &value, NULL) == 0) {
            g_thread_yield();
        }
    }
    return NULL;
}

static void records_arrive_whole_while_the_guest_appends(void **state)
{
    Fixture *f = *state;
    GThread *thread = g_thread_new("guest", produce, f);
    GError *error = NULL;

    while (f->taken < MANY && krr_ring_drain(&f->ring, take, f, &error) >= 0) {
        g_thread_yield();
    }
    g_thread_join(thread);
    assert_no_error(error);
    assert_int_equal(f->taken, MANY);
}

typedef struct Scribbler {
    Fixture *fixture;
    gint stop;
} Scribbler;

static gpointer scribble(gpointer opaque)
{
    Scribbler *s = opaque;
    KrrRing *ring = &s->fixture->ring;
    uint64_t random = 5;

    while (!g_atomic_int_get(&s->stop)) {
        uint32_t place = random_next(&random) % (SIZE / 8) * 8;
        uint64_t word = (uint64_t)random_next(&random) << 32 | random_next(&random);

        /* Often something that looks like a header. */
        if (random_next(&random) % 2) {
            word = KRR_KIND_USER_BYTES | (random_next(&random) % 512 * 8ull) << 16;
        }
        __atomic_store_n((uint64_t *)(ring->data + place), word, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void guest_that_scribbles_all_the_time_does_no_harm(void **state)
{
    Fixture *f = *state;
    Scribbler s = { f, 0 };
    GThread *thread = g_thread_new("scribbler", scribble, &s);

    for (unsigned i = 0; i < 20000; i++) {
        __atomic_store_n(&f->ring.shared->ring_head, f->ring.tail + 4096, __ATOMIC_RELEASE);
        if (krr_ring_drain(&f->ring, count, f, NULL) < 0) {
            f->ring.tail = f->ring.shared->ring_head;
        }
    }
    g_atomic_int_set(&s.stop, 1);
    g_thread_join(thread);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(layout_is_described_in_the_shared_page),
        TEST(bar_sizes_are_powers_of_two_that_fit),
        TEST(empty_ring_gives_nothing),
        TEST(records_come_out_as_they_went_in),
        TEST(full_ring_takes_no_more_until_drained),
        TEST(records_wrap_with_any_rest_at_the_end),
        TEST(records_of_all_kinds_and_sizes_survive_wrapping),
        TEST(the_longest_record_fits_the_smallest_ring),
        TEST(refused_record_stays_in_the_ring),
        TEST(impossible_heads_are_errors),
        TEST(head_that_goes_backwards_is_an_error),
        TEST(scribbled_size_and_tail_in_the_shared_page_do_not_matter),
        TEST(scribbled_records_are_errors),
        TEST(good_records_before_a_bad_one_are_taken),
        TEST(record_across_the_end_of_the_ring_is_an_error),
        TEST(header_in_the_last_eight_bytes_is_an_error),
        TEST(random_rings_never_crash_or_hang),
        TEST(records_arrive_whole_while_the_guest_appends),
        TEST(guest_that_scribbles_all_the_time_does_no_harm),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
