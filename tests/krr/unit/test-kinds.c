/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"

#define NUMBER 0x5a

static void every_kind_has_its_own_name(void **state)
{
    uint8_t kinds[256];
    unsigned count = all_kinds(kinds);

    (void)state;
    assert_true(count > 20);
    for (unsigned i = 0; i < count; i++) {
        assert_true(strlen(krr_kind(kinds[i])->description) > 3);
        for (unsigned j = 0; j < i; j++) {
            assert_string_not_equal(krr_kind_name(kinds[i]), krr_kind_name(kinds[j]));
        }
    }
}

static void unknown_numbers_have_names_too(void **state)
{
    (void)state;
    assert_null(krr_kind(KRR_KIND_PAD));
    assert_null(krr_kind(255));
    assert_null(krr_kind(100000));
    assert_string_equal(krr_kind_name(255), "kind 255");
    assert_string_equal(krr_end_reason_name(KRR_END_PANIC), "panic");
    assert_string_equal(krr_end_reason_name(0), "reason 0");
    assert_string_equal(krr_end_reason_name(4711), "reason 4711");
    assert_string_equal(krr_vector_name(KRR_VECTOR_SYSCALL), "syscall");
    assert_string_equal(krr_vector_name(14), "page-fault");
    assert_string_equal(krr_vector_name(236), "236");
    assert_string_equal(krr_entry_word_name(KRR_DR6), "dr6");
    assert_string_equal(krr_entry_word_name(KRR_ENTRY_WORDS), "?");
}

static void every_end_reason_has_a_name(void **state)
{
    (void)state;
    for (uint32_t reason = KRR_END_STOPPED; reason <= KRR_END_SUSPEND; reason++) {
        assert_null(strstr(krr_end_reason_name(reason), "reason"));
    }
}

static void good_records_are_good(void **state)
{
    AnyRecord any;

    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        make_any(&any, i);
        assert_null(krr_record_check(&any.record, any.record.size, 1));
        assert_null(krr_record_check(&any.record, sizeof(any), 1));
    }
}

static void cut_off_records_are_refused(void **state)
{
    AnyRecord any;

    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        make_any(&any, i);
        for (size_t available = 0; available < any.record.size; available++) {
            assert_non_null(krr_record_check(&any.record, available, 1));
        }
    }
}

static void every_wrong_size_is_refused(void **state)
{
    AnyRecord any;

    (void)state;
    for (uint64_t i = 0; i < 100; i++) {
        uint16_t good;

        make_any(&any, i);
        good = any.record.size;
        for (uint32_t size = 0; size < 65536; size++) {
            any.record.size = size;
            if (size != good) {
                assert_non_null(krr_record_check(&any.record, sizeof(any), 1));
            }
        }
    }
}

static void vcpus_that_do_not_exist_are_refused(void **state)
{
    AnyRecord any;

    (void)state;
    make_record(&any, KRR_KIND_TSC, NUMBER);
    any.record.vcpu = 1;
    assert_string_equal(krr_record_check(&any.record, sizeof(any), 1), "no such vCPU");
    assert_null(krr_record_check(&any.record, sizeof(any), 2));
}

static void only_dma_may_be_the_device_groups(void **state)
{
    AnyRecord any;

    (void)state;
    make_record(&any, KRR_KIND_TSC, NUMBER);
    any.record.vcpu = KRR_DEVICE_GROUP;
    assert_string_equal(krr_record_check(&any.record, sizeof(any), KRR_MAX_VCPUS), "no such vCPU");
    make_record(&any, KRR_KIND_DMA, NUMBER);
    any.record.vcpu = KRR_DEVICE_GROUP;
    assert_null(krr_record_check(&any.record, sizeof(any), 1));
    any.record.vcpu = KRR_DEVICE_GROUP + 1;
    assert_string_equal(krr_record_check(&any.record, sizeof(any), KRR_MAX_VCPUS), "no such vCPU");
}

static void entries_with_impossible_words_are_refused(void **state)
{
    AnyRecord any;
    struct krr_entry *entry = (void *)(any.bytes + sizeof(any.record));

    (void)state;
    make_record(&any, KRR_KIND_ENTRY, 0);
    entry->changed = 1u << KRR_ENTRY_WORDS;
    any.record.size += 8;
    assert_string_equal(krr_record_check(&any.record, sizeof(any), 1), "entry with unknown words");
    make_record(&any, KRR_KIND_ENTRY, 0);
    entry->vector = KRR_VECTOR_SYSCALL32 + 1;
    assert_non_null(krr_record_check(&any.record, sizeof(any), 1));
}

static void traps_know_256_vectors(void **state)
{
    AnyRecord any;
    struct krr_trap *trap = (void *)(any.bytes + sizeof(any.record));

    (void)state;
    make_record(&any, KRR_KIND_INTERRUPT, 0);
    trap->vector = 255;
    assert_null(krr_record_check(&any.record, sizeof(any), 1));
    trap->vector = 256;
    assert_non_null(krr_record_check(&any.record, sizeof(any), 1));
}

static void lengths_that_overflow_are_refused(void **state)
{
    static const uint32_t lengths[] = { 0xffffffff, 0xfffffff9, 0x80000000, KRR_RECORD_MAX };
    AnyRecord any;
    struct krr_bytes *bytes = (void *)(any.bytes + sizeof(any.record));

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(lengths); i++) {
        make_record(&any, KRR_KIND_USER_BYTES, 0);
        bytes->length = lengths[i];
        assert_non_null(krr_record_check(&any.record, sizeof(any), 1));
    }
}

static void the_longest_record_is_allowed(void **state)
{
    AnyRecord any;
    struct krr_bytes *bytes = (void *)(any.bytes + sizeof(any.record));

    (void)state;
    make_record(&any, KRR_KIND_USER_BYTES, 0);
    bytes->length = KRR_BYTES_MAX;
    any.record.size = KRR_RECORD_MAX;
    assert_null(krr_record_check(&any.record, sizeof(any), 1));
}

static void device_accesses_have_sizes_of_1_2_4_8(void **state)
{
    AnyRecord any;

    (void)state;
    for (uint32_t size = 0; size < 20; size++) {
        bool good = size == 1 || size == 2 || size == 4 || size == 8;

        make_port_write(&any, 0x80, size, 0);
        assert_int_equal(krr_record_check(&any.record, sizeof(any), 1) == NULL, good);
    }
}

static void random_records_never_crash(void **state)
{
    uint64_t random = 1;
    unsigned good = 0;

    (void)state;
    for (unsigned i = 0; i < 200000; i++) {
        uint8_t *bytes = g_malloc(256);
        struct krr_record *record = (struct krr_record *)bytes;
        char *text;

        for (unsigned j = 0; j < 256; j += 4) {
            uint32_t word = random_next(&random);

            memcpy(bytes + j, &word, 4);
        }
        record->kind %= 64;
        record->size %= 256;
        if (!krr_record_check(record, record->size & ~7u, 64)) {
            text = krr_record_describe(record);
            assert_non_null(text);
            g_free(text);
            good++;
        }
        g_free(bytes);
    }
    assert_true(good > 0);
}

static void description_names_kind_place_and_contents(void **state)
{
    AnyRecord any;
    char *text;

    (void)state;
    make_record(&any, KRR_KIND_TSC, NUMBER);
    text = krr_record_describe(&any.record);
    assert_string_equal(text, "tsc vcpu 0 ordinal 90 value 0x1fa4");
    g_free(text);

    make_port_write(&any, 0x3f8, 1, 'x');
    text = krr_record_describe(&any.record);
    assert_string_equal(text, "port-write vcpu 0 ordinal 0 address 0x3f8 size 1 value 0x78");
    g_free(text);
}

static void dma_description_names_the_slice_before(void **state)
{
    AnyRecord any;
    char *text;

    (void)state;
    make_record(&any, KRR_KIND_DMA, 2);
    any.record.vcpu = KRR_DEVICE_GROUP;
    any.record.ordinal = KRR_PREVIOUS(3, 77);
    text = krr_record_describe(&any.record);
    assert_ptr_equal(strstr(text, "dma previous vcpu 3 ordinal 77 to 0x2 length 2 data"), text);
    g_free(text);
}

static void entry_description_lists_changed_words(void **state)
{
    AnyRecord any;
    struct krr_entry *entry = (void *)(any.bytes + sizeof(any.record));
    char *text;

    (void)state;
    make_record(&any, KRR_KIND_ENTRY, 0);
    entry->vector = KRR_VECTOR_SYSCALL;
    entry->changed = 1u << KRR_RAX | 1u << KRR_RIP;
    entry->previous = KRR_PREVIOUS(3, 77);
    entry->words[0] = 0x1;
    entry->words[1] = 0x401000;
    any.record.size += 16;
    assert_null(krr_record_check(&any.record, sizeof(any), 1));
    text = krr_record_describe(&any.record);
    assert_string_equal(text, "entry vcpu 0 ordinal 0 vector syscall previous vcpu 3 ordinal 77 "
                        "rax=0x1 rip=0x401000");
    g_free(text);
}

static void exception_description_has_the_flags(void **state)
{
    AnyRecord any;
    struct krr_trap *trap = (void *)(any.bytes + sizeof(any.record));
    char *text;

    (void)state;
    make_record(&any, KRR_KIND_EXCEPTION, 14);
    trap->flags = 0x44;
    text = krr_record_describe(&any.record);
    assert_true(g_str_has_suffix(text, " flags 0x44"));
    g_free(text);
}

static void description_of_text_is_safe_for_a_terminal(void **state)
{
    AnyRecord any;
    struct krr_end *end = (void *)(any.bytes + sizeof(any.record));
    char *text;

    (void)state;
    make_record(&any, KRR_KIND_END, 0);
    /* Not terminated, and full of control characters. */
    memset(end->text, 0x1b, sizeof(end->text));
    text = krr_record_describe(&any.record);
    assert_null(strchr(text, 0x1b));
    assert_non_null(strstr(text, "\\x1b"));
    g_free(text);
    memcpy(end->text, "bad\x1b", 5);
    text = krr_end_text(end);
    assert_string_equal(text, "bad\\x1b");
    g_free(text);
}

static void console_bytes_are_what_goes_to_the_uart(void **state)
{
    static const struct {
        uint16_t port;
        uint32_t size;
        uint8_t value;
        bool console;
    } writes[] = {
        { 0x3f8, 1, 'a', true }, { 0x3f9, 1, 1, false }, { 0x3f8, 2, 'b', false },
        { 0x3fb, 1, 0x83, false }, { 0x3f8, 1, 1, false },      /* divisor */
        { 0x3fb, 1, 0x03, false }, { 0x3f8, 1, 'c', true }, { 0x2f8, 1, 'd', false },
    };
    KrrConsole console = { 0 };
    AnyRecord any;

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(writes); i++) {
        uint8_t byte = 0;

        make_port_write(&any, writes[i].port, writes[i].size, writes[i].value);
        assert_int_equal(krr_console_byte(&console, &any.record, &byte), writes[i].console);
        assert_int_equal(byte, writes[i].console ? writes[i].value : 0);
    }
    make_port_write(&any, 0x3f8, 1, 'e');
    any.record.kind = KRR_KIND_PORT_READ;
    assert_false(krr_console_byte(&console, &any.record, (uint8_t[1]) { 0 }));
}

static void statistics_count_by_kind_and_vector(void **state)
{
    KrrStats stats = { 0 };
    AnyRecord any;

    (void)state;
    make_record(&any, KRR_KIND_ENTRY, KRR_VECTOR_SYSCALL);
    krr_stats_record(&stats, &any.record);
    krr_stats_record(&stats, &any.record);
    assert_int_equal(stats.records[KRR_KIND_ENTRY], 2);
    assert_int_equal(stats.bytes[KRR_KIND_ENTRY], 2 * any.record.size);
    assert_int_equal(stats.raw_bytes, 2 * any.record.size);
    assert_int_equal(stats.vectors[KRR_VECTOR_SYSCALL], 2);
    make_record(&any, KRR_KIND_WAKE, 0xec);
    krr_stats_record(&stats, &any.record);
    assert_int_equal(stats.vectors[0xec], 1);
}

static void every_reason_of_a_handoff_has_its_own_name(void **state)
{
    (void)state;
    for (unsigned i = 0; i < KRR_HANDOFF_REASONS; i++) {
        assert_string_not_equal(krr_handoff_name(i), "?");
        for (unsigned other = 0; other < i; other++) {
            assert_string_not_equal(krr_handoff_name(i), krr_handoff_name(other));
        }
    }
    assert_string_equal(krr_handoff_name(KRR_HANDOFF_REASONS), "?");
}

static void assert_buckets(const __u64 *histogram, int median, int p99, int longest)
{
    assert_int_equal(krr_histogram_bucket(histogram, 50), median);
    assert_int_equal(krr_histogram_bucket(histogram, 99), p99);
    assert_int_equal(krr_histogram_bucket(histogram, 100), longest);
}

static void percentiles_are_found_in_histograms(void **state)
{
    static const __u64 none[KRR_TIME_BUCKETS];
    static const __u64 one[KRR_TIME_BUCKETS] = { [0] = 1 };
    static const __u64 two[KRR_TIME_BUCKETS] = { [4] = 1, [KRR_TIME_BUCKETS - 1] = 1 };
    static const __u64 hundred[KRR_TIME_BUCKETS] = { [1] = 49, [2] = 2, [7] = 48, [9] = 1 };
    static const __u64 more[KRR_TIME_BUCKETS] = { [1] = 51, [2] = 47, [9] = 2 };
    /* The products of count and percent do not fit into 64 bits. */
    static const __u64 huge[KRR_TIME_BUCKETS] = { [5] = 3ull << 62, [6] = 1ull << 61 };

    (void)state;
    assert_int_equal(krr_histogram_count(none), 0);
    assert_int_equal(krr_histogram_count(hundred), 100);
    assert_buckets(none, -1, -1, -1);
    assert_buckets(one, 0, 0, 0);
    assert_buckets(two, 4, KRR_TIME_BUCKETS - 1, KRR_TIME_BUCKETS - 1);
    assert_buckets(hundred, 2, 7, 9);
    assert_buckets(more, 1, 9, 9);
    assert_buckets(huge, 5, 6, 6);
}

/* A guest may say anything: sums that overflow find some bucket. */
static void nonsense_in_histograms_is_harmless(void **state)
{
    __u64 histogram[KRR_TIME_BUCKETS];
    uint64_t random = 5;

    (void)state;
    for (unsigned round = 0; round < 1000; round++) {
        for (unsigned i = 0; i < KRR_TIME_BUCKETS; i++) {
            histogram[i] = (__u64)random_next(&random) << 33 | random_next(&random);
        }
        for (unsigned percent = 0; percent <= 100; percent++) {
            assert_in_range(krr_histogram_bucket(histogram, percent) + 1, 0, KRR_TIME_BUCKETS);
        }
    }
}

static void machines_that_make_no_sense_are_refused(void **state)
{
    const KrrMachine good = test_machine(1);
    KrrMachine m;

    (void)state;
    assert_null(krr_machine_check(&good));
#define REFUSED(change) (m = good, change, assert_non_null(krr_machine_check(&m)))
    REFUSED(m.vcpus = 0);
    REFUSED(m.vcpus = KRR_MAX_VCPUS + 1);
    REFUSED(m.phys_bits = 64);
    REFUSED(m.phys_bits = 31);
    REFUSED(m.ranges_count = KRR_MACHINE_RANGES + 1);
    REFUSED(m.features_count = 0xffffffff);
    REFUSED(m.silent_count = KRR_MACHINE_SILENT + 1);
    REFUSED(memset(m.kernel_release, 'x', sizeof(m.kernel_release)));
    REFUSED(memset(m.vendor, 'x', sizeof(m.vendor)));
    REFUSED(memset(m.qemu_version, 'x', sizeof(m.qemu_version)));
    REFUSED(m.ranges[0].length = 1);
    REFUSED(m.ranges[0].length = 0);
    REFUSED(m.ranges[0].address = 1);
    REFUSED(m.ranges[0].address = ~0xfffull);
    REFUSED(m.ranges[0].length = ~0xfffull);
    REFUSED((m.ranges_count = 2, m.ranges[1] = (KrrRange) { .address = 4096, .length = 4096 }));
    REFUSED(m.shared_address = ~0xfffull);
    REFUSED(m.shared_address = 1);
    REFUSED(m.shared_length = 1);
    REFUSED(m.shared_length = KRR_RING_MAX * 4ull + 4096);
    REFUSED((m.shared_address = (1ull << 52) - 4096, m.shared_length = 8192));
    REFUSED(m.pio_base = 0xffff);
    REFUSED(m.silent[0].space = 2);
    REFUSED(m.silent[0].length = 0);
    REFUSED(m.silent[0].address = 1ull << 52);
    REFUSED((m.silent[0].space = KRR_SPACE_PORT, m.silent[0].address = 0xf001));
#undef REFUSED
}

static void cpu_states_with_too_much_fpu_state_are_refused(void **state)
{
    KrrCpuState *cpu = g_new0(KrrCpuState, 1);

    (void)state;
    cpu->xsave_length = KRR_XSAVE_SIZE;
    assert_null(krr_cpu_check(cpu));
    cpu->xsave_length++;
    assert_non_null(krr_cpu_check(cpu));
    g_free(cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_has_its_own_name),
        cmocka_unit_test(unknown_numbers_have_names_too),
        cmocka_unit_test(every_end_reason_has_a_name),
        cmocka_unit_test(good_records_are_good),
        cmocka_unit_test(cut_off_records_are_refused),
        cmocka_unit_test(every_wrong_size_is_refused),
        cmocka_unit_test(vcpus_that_do_not_exist_are_refused),
        cmocka_unit_test(only_dma_may_be_the_device_groups),
        cmocka_unit_test(entries_with_impossible_words_are_refused),
        cmocka_unit_test(traps_know_256_vectors),
        cmocka_unit_test(lengths_that_overflow_are_refused),
        cmocka_unit_test(the_longest_record_is_allowed),
        cmocka_unit_test(device_accesses_have_sizes_of_1_2_4_8),
        cmocka_unit_test(random_records_never_crash),
        cmocka_unit_test(description_names_kind_place_and_contents),
        cmocka_unit_test(dma_description_names_the_slice_before),
        cmocka_unit_test(entry_description_lists_changed_words),
        cmocka_unit_test(exception_description_has_the_flags),
        cmocka_unit_test(description_of_text_is_safe_for_a_terminal),
        cmocka_unit_test(console_bytes_are_what_goes_to_the_uart),
        cmocka_unit_test(statistics_count_by_kind_and_vector),
        cmocka_unit_test(every_reason_of_a_handoff_has_its_own_name),
        cmocka_unit_test(percentiles_are_found_in_histograms),
        cmocka_unit_test(nonsense_in_histograms_is_harmless),
        cmocka_unit_test(machines_that_make_no_sense_are_refused),
        cmocka_unit_test(cpu_states_with_too_much_fpu_state_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
