/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <unistd.h>

#include "common.h"
#include "krr/codec.h"

static KrrReader *open_trace(const char *path)
{
    GError *error = NULL;
    KrrReader *r = krr_reader_open(path, &error);

    assert_no_error(error);
    return r;
}

static void refuse_contents(const void *data, size_t length, KrrError code, const char *part)
{
    char *path = temp_path("refused.krr");
    GError *error = NULL;

    assert_true(g_file_set_contents(path, data, length, NULL));
    assert_null(krr_reader_open(path, &error));
    assert_true(error && strstr(error->message, path));
    assert_error(&error, code, part);
    g_free(path);
}

static void what_was_written_is_read_back(void **state)
{
    TraceSpec spec = { .vcpus = 3, .records = 30000 };
    char *path = temp_path("whole.krr");
    GError *error = NULL;
    KrrReader *r;

    (void)state;
    write_trace(path, &spec);
    r = open_trace(path);
    assert_true(krr_reader_complete(r));
    assert_null(krr_reader_damage(r));
    assert_int_equal(krr_reader_count(r), spec.records);
    assert_int_equal(krr_reader_machine(r)->vcpus, 3);
    assert_string_equal(krr_reader_machine(r)->kernel_release, "6.1.0-test");
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(krr_reader_cpu(r, i)->apic_id, i);
    }
    assert_null(krr_reader_cpu(r, 3));
    assert_int_equal(krr_reader_end_reason(r), KRR_END_PANIC);
    assert_int_equal(krr_reader_end_status(r), 7);
    assert_string_equal(krr_reader_end_text(r), "it broke");
    assert_false(krr_reader_has_final_ram(r));
    assert_int_equal(check_records(r, 0, &error), spec.records);
    assert_no_error(error);
    assert_int_equal(krr_reader_position(r), spec.records);
    assert_null(krr_reader_peek(r, &error));
    assert_no_error(error);
    krr_reader_next(r);
    assert_int_equal(krr_reader_position(r), spec.records);
    krr_reader_free(r);
    g_free(path);
}

static void trace_without_records_is_complete(void **state)
{
    TraceSpec spec = { 0 };
    char *path = temp_path("empty.krr");
    GError *error = NULL;
    KrrReader *r;

    (void)state;
    write_trace(path, &spec);
    r = open_trace(path);
    assert_true(krr_reader_complete(r));
    assert_null(krr_reader_peek(r, &error));
    assert_no_error(error);
    assert_true(krr_reader_seek(r, 0, &error));
    assert_false(krr_reader_seek(r, 1, &error));
    assert_error(&error, KRR_ERROR_USAGE, "has 0 records");
    krr_reader_free(r);
    g_free(path);
}

static void previous_record_stays_readable(void **state)
{
    TraceSpec spec = { .records = 2000, .flush_every = 1 };
    char *path = temp_path("previous.krr");
    const struct krr_record *previous, *current;
    AnyRecord expected;
    KrrReader *r;

    (void)state;
    write_trace(path, &spec);
    r = open_trace(path);
    previous = krr_reader_peek(r, NULL);
    krr_reader_next(r);
    for (uint64_t i = 1; i < spec.records; i++) {
        current = krr_reader_peek(r, NULL);
        make_any(&expected, i - 1);
        assert_memory_equal(previous, &expected, expected.record.size);
        make_any(&expected, i);
        assert_memory_equal(current, &expected, expected.record.size);
        krr_reader_next(r);
        previous = current;
    }
    krr_reader_free(r);
    g_free(path);
}

static void seek_everywhere(KrrReader *r, uint64_t records)
{
    GError *error = NULL;
    uint64_t random = 8;
    AnyRecord expected;

    for (unsigned i = 0; i < 300; i++) {
        uint64_t number = random_next(&random) % records;

        assert_true(krr_reader_seek(r, number, &error));
        assert_no_error(error);
        assert_int_equal(krr_reader_position(r), number);
        make_any(&expected, number);
        assert_memory_equal(krr_reader_peek(r, NULL), &expected, expected.record.size);
    }
    assert_true(krr_reader_seek(r, records, &error));
    assert_null(krr_reader_peek(r, &error));
    assert_no_error(error);
    assert_false(krr_reader_seek(r, records + 1, &error));
    assert_error(&error, KRR_ERROR_USAGE, "there is no record");
    assert_true(krr_reader_seek(r, 0, &error));
    assert_int_equal(check_records(r, 0, &error), records);
    assert_no_error(error);
}

static void seek_finds_every_record(void **state)
{
    /* More chunks than the index has entries. */
    TraceSpec spec = { .records = 20000, .flush_every = 2 };
    char *path = temp_path("seek.krr");
    KrrReader *r;

    (void)state;
    write_trace(path, &spec);
    r = open_trace(path);
    seek_everywhere(r, spec.records);
    krr_reader_free(r);
    g_free(path);
}

static void seek_works_without_a_footer(void **state)
{
    TraceSpec spec = { .records = 20000, .flush_every = 2, .unfinished = true };
    char *path = temp_path("seek2.krr");
    KrrReader *r;

    (void)state;
    write_trace(path, &spec);
    r = open_trace(path);
    assert_false(krr_reader_complete(r));
    seek_everywhere(r, spec.records);
    krr_reader_free(r);
    g_free(path);
}

/* ---- memory ---- */

typedef struct RamCheck {
    const uint8_t *memory;      /* what it should be, from address 0 */
    uint8_t *seen;
    size_t size;
    unsigned runs;
} RamCheck;

static bool check_run(uint64_t address, const void *data, size_t length, void *opaque,
                      GError **errp)
{
    RamCheck *c = opaque;

    (void)errp;
    assert_true(address + length <= c->size);
    assert_memory_equal(data, c->memory + address, length);
    memcpy(c->seen + address, data, length);
    c->runs++;
    return true;
}

static void memory_is_read_back_without_its_zero_pages(void **state)
{
    const size_t size = 5 << 20;
    uint8_t *memory = g_malloc0(size);
    RamCheck c = { memory, g_malloc0(size), size, 0 };
    static KrrCpuState cpu;
    KrrMachine machine = test_machine(1);
    char *path = temp_path("ram.krr");
    KrrWriter *w = krr_writer_new(path, NULL);
    GError *error = NULL;
    uint64_t random = 9;
    KrrReader *r;

    (void)state;
    for (size_t i = 0; i < size; i += 4096) {
        if (i / 4096 % 10 != 3) {
            for (unsigned j = 0; j < 4096; j++) {
                memory[i + j] = random_next(&random);
            }
        }
    }
    memset(memory + 4096 * 20, 0, 4096);
    memory[4096 * 20 + 4095] = 1;       /* only its last byte */
    assert_true(krr_writer_machine(w, &machine, NULL));
    assert_true(krr_writer_cpu(w, 0, &cpu, NULL));
    assert_true(krr_writer_ram(w, 0, memory, size / 2, NULL));
    assert_true(krr_writer_ram(w, size / 2, memory + size / 2, size / 2, NULL));
    assert_true(krr_writer_start(w, NULL));
    assert_true(krr_writer_final_ram(w, 0, memory, 8192, NULL));
    assert_true(krr_writer_finish(w, KRR_END_STOPPED, 0, NULL, NULL));
    krr_writer_free(w);

    r = open_trace(path);
    assert_true(krr_reader_ram(r, false, check_run, &c, &error));
    assert_no_error(error);
    assert_memory_equal(c.seen, memory, size);
    assert_in_range(c.runs, 128, 140);
    c.runs = 0;
    assert_true(krr_reader_has_final_ram(r));
    assert_true(krr_reader_ram(r, true, check_run, &c, &error));
    assert_int_equal(c.runs, 1);
    krr_reader_free(r);
    g_free(memory);
    g_free(c.seen);
    g_free(path);
}

static bool refuse_run(uint64_t address, const void *data, size_t length, void *opaque,
                       GError **errp)
{
    (void)address;
    (void)data;
    (void)length;
    (void)opaque;
    g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT, "no memory there");
    return false;
}

static void memory_walk_stops_when_told(void **state)
{
    TraceSpec spec = { .ram_pages = 3, .records = 1 };
    char *path = temp_path("stop.krr");
    GError *error = NULL;
    KrrReader *r;

    (void)state;
    write_trace(path, &spec);
    r = open_trace(path);
    assert_false(krr_reader_ram(r, false, refuse_run, NULL, &error));
    assert_error(&error, KRR_ERROR_FORMAT, "no memory there");
    assert_false(krr_reader_ram(r, true, refuse_run, NULL, &error));
    assert_error(&error, KRR_ERROR_FORMAT, "final-ram=on");
    krr_reader_free(r);
    g_free(path);
}

/* ---- files that are no traces ---- */

static void foreign_files_are_refused(void **state)
{
    char zeroes[4096] = { 0 };
    GError *error = NULL;

    (void)state;
    refuse_contents("", 0, KRR_ERROR_FORMAT, "is empty");
    refuse_contents("x", 1, KRR_ERROR_FORMAT, "not a KRR trace");
    refuse_contents("KRR", 3, KRR_ERROR_FORMAT, "cut off");
    refuse_contents("KRRTRACE", 8, KRR_ERROR_FORMAT, "cut off");
    refuse_contents("\177ELF is another format; this is long enough for a header", 55,
                    KRR_ERROR_FORMAT, "not a KRR trace");
    refuse_contents(zeroes, sizeof(zeroes), KRR_ERROR_FORMAT, "not a KRR trace");
    assert_null(krr_reader_open("/no/such/file", &error));
    assert_error(&error, KRR_ERROR_IO, "No such file");
    assert_null(krr_reader_open("/", &error));
    assert_error(&error, KRR_ERROR_IO, "not a regular file");
    assert_null(krr_reader_open("/dev/null", &error));
    assert_error(&error, KRR_ERROR_IO, "not a regular file");
}

static void traces_of_the_future_are_refused(void **state)
{
    KrrFileHeader header = { .version = KRR_FORMAT_VERSION + 1, .size = sizeof(header) };

    (void)state;
    memcpy(header.magic, KRR_FILE_MAGIC, sizeof(header.magic));
    krr_seal(&header, sizeof(header));
    refuse_contents(&header, sizeof(header), KRR_ERROR_VERSION, "use a newer KRR");
    header.size = 4000;
    refuse_contents(&header, sizeof(header), KRR_ERROR_VERSION, "use a newer KRR");
}

static void file_header_without_version_is_refused(void **state)
{
    KrrFileHeader header = { .version = 0, .size = sizeof(header) };

    (void)state;
    memcpy(header.magic, KRR_FILE_MAGIC, sizeof(header.magic));
    krr_seal(&header, sizeof(header));
    refuse_contents(&header, sizeof(header), KRR_ERROR_FORMAT, "file header");
}

/* ---- crashed recordings ---- */

static void crashed_recording_is_readable_to_its_last_chunk(void **state)
{
    TraceSpec spec = { .ram_pages = 2, .records = 5000, .flush_every = 100, .unfinished = true };
    char *path = temp_path("crashed.krr");
    GError *error = NULL;
    KrrReader *r;

    (void)state;
    write_trace(path, &spec);
    r = open_trace(path);
    assert_false(krr_reader_complete(r));
    assert_non_null(strstr(krr_reader_damage(r), "not finished"));
    assert_int_equal(krr_reader_end_reason(r), KRR_END_QEMU_EXIT);
    assert_string_equal(krr_reader_end_text(r), "");
    assert_null(krr_reader_stats(r));
    assert_int_equal(krr_reader_count(r), spec.records);
    assert_int_equal(check_records(r, 0, &error), spec.records);
    assert_no_error(error);
    krr_reader_free(r);
    g_free(path);
}

static void crash_during_the_snapshot_leaves_nothing_to_replay(void **state)
{
    static uint8_t page[4096] = { 1 };
    static KrrCpuState cpu;
    KrrMachine machine = test_machine(1);
    char *path = temp_path("early.krr");
    KrrWriter *w = krr_writer_new(path, NULL);
    GError *error = NULL;

    (void)state;
    assert_true(krr_writer_machine(w, &machine, NULL));
    assert_null(krr_reader_open(path, &error));
    assert_error(&error, KRR_ERROR_FORMAT, "nothing to replay");
    assert_true(krr_writer_cpu(w, 0, &cpu, NULL));
    for (unsigned i = 0; i < 300; i++) {
        assert_true(krr_writer_ram(w, i * 4096, page, sizeof(page), NULL));
    }
    assert_null(krr_reader_open(path, &error));
    assert_error(&error, KRR_ERROR_FORMAT, "nothing to replay");
    krr_writer_free(w);
    g_free(path);
}

static void recording_without_a_cpu_state_is_refused(void **state)
{
    static KrrCpuState cpu;
    KrrMachine machine = test_machine(2);
    char *path = temp_path("nocpu.krr");
    KrrWriter *w = krr_writer_new(path, NULL);
    GError *error = NULL;

    (void)state;
    assert_true(krr_writer_machine(w, &machine, NULL));
    assert_true(krr_writer_cpu(w, 1, &cpu, NULL));
    assert_true(krr_writer_start(w, NULL));
    assert_null(krr_reader_open(path, &error));
    assert_error(&error, KRR_ERROR_FORMAT, "state of a vCPU is missing");
    krr_writer_free(w);
    g_free(path);
}

static void trace_can_be_read_while_it_is_written(void **state)
{
    TraceSpec spec = { .records = 10, .flush_every = 1, .unfinished = true };
    char *path = temp_path("live.krr");
    GError *error = NULL;
    KrrReader *r;

    (void)state;
    write_trace(path, &spec);
    r = open_trace(path);
    assert_int_equal(truncate(path, krr_reader_file_size(r) - 1), 0);
    /* The last chunk is gone now: an error, not a fault. */
    assert_int_equal(check_records(r, 0, &error), spec.records - 1);
    assert_error(&error, KRR_ERROR_FORMAT, "in the middle");
    krr_reader_free(r);
    g_free(path);
}

static bool count_chunk(const KrrChunkInfo *info, void *opaque, GError **errp)
{
    (void)errp;
    if (!strcmp(info->name, "events")) {
        *(uint64_t *)opaque += info->record_count;
    }
    return true;
}

static void chunks_can_be_listed(void **state)
{
    TraceSpec spec = { .ram_pages = 1, .records = 1000, .flush_every = 10 };
    char *path = temp_path("chunks.krr");
    uint64_t records = 0;
    KrrReader *r;

    (void)state;
    write_trace(path, &spec);
    r = open_trace(path);
    assert_true(krr_reader_chunks(r, true, count_chunk, &records, NULL));
    assert_int_equal(records, spec.records);
    krr_reader_free(r);
    g_free(path);
}

static bool refuse_third_chunk(const KrrChunkInfo *info, void *opaque, GError **errp)
{
    (void)info;
    if (++*(uint64_t *)opaque < 3) {
        return true;
    }
    g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT, "not this one");
    return false;
}

static void list_of_chunks_stops_when_told(void **state)
{
    TraceSpec spec = { .ram_pages = 1, .records = 1000, .flush_every = 10 };
    char *path = temp_path("refused.krr");
    GError *error = NULL;
    uint64_t calls = 0;
    KrrReader *r;

    (void)state;
    write_trace(path, &spec);
    r = open_trace(path);
    assert_false(krr_reader_chunks(r, false, refuse_third_chunk, &calls, &error));
    assert_error(&error, KRR_ERROR_FORMAT, "not this one");
    assert_int_equal(calls, 3);
    krr_reader_free(r);
    g_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(trace_without_records_is_complete),
        cmocka_unit_test(previous_record_stays_readable),
        cmocka_unit_test(seek_finds_every_record),
        cmocka_unit_test(seek_works_without_a_footer),
        cmocka_unit_test(memory_is_read_back_without_its_zero_pages),
        cmocka_unit_test(memory_walk_stops_when_told),
        cmocka_unit_test(foreign_files_are_refused),
        cmocka_unit_test(traces_of_the_future_are_refused),
        cmocka_unit_test(file_header_without_version_is_refused),
        cmocka_unit_test(crashed_recording_is_readable_to_its_last_chunk),
        cmocka_unit_test(crash_during_the_snapshot_leaves_nothing_to_replay),
        cmocka_unit_test(recording_without_a_cpu_state_is_refused),
        cmocka_unit_test(trace_can_be_read_while_it_is_written),
        cmocka_unit_test(chunks_can_be_listed),
        cmocka_unit_test(list_of_chunks_stops_when_told),
    };

    return cmocka_run_group_tests(tests, make_temp_dir, remove_temp_dir);
}
