/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

static void refuse_path(const char *path, const char *part)
{
    GError *error = NULL;

    assert_null(krr_writer_new(path, &error));
    assert_true(error && strstr(error->message, path));
    assert_error(&error, KRR_ERROR_IO, part);
}

static KrrWriter *open_writer(const char *path)
{
    GError *error = NULL;
    KrrWriter *w = krr_writer_new(path, &error);

    assert_no_error(error);
    return w;
}

/* A writer whose snapshot is complete. */
static KrrWriter *start_writer(const char *path)
{
    static KrrCpuState cpu;
    KrrMachine machine = test_machine(1);
    KrrWriter *w = open_writer(path);

    assert_true(krr_writer_machine(w, &machine, NULL));
    assert_true(krr_writer_cpu(w, 0, &cpu, NULL));
    assert_true(krr_writer_start(w, NULL));
    return w;
}

static void unwritable_paths_are_refused(void **state)
{
    char *missing = temp_path("no/such/folder/x.krr");
    char *folder = temp_path("folder");

    (void)state;
    refuse_path(missing, "No such file");
    assert_int_equal(g_mkdir(folder, 0700), 0);
    refuse_path(folder, "Is a directory");
    refuse_path("", "");
    assert_int_equal(g_rmdir(folder), 0);
    g_free(missing);
    g_free(folder);
}

static void full_disk_is_reported_with_path_and_reason(void **state)
{
    (void)state;
    refuse_path("/dev/full", "No space left on device");
}

static void existing_file_is_replaced(void **state)
{
    char *path = temp_path("old.krr");
    TraceSpec spec = { .records = 3 };
    char *junk = g_strnfill(1 << 20, 'x');
    KrrReader *r;

    (void)state;
    assert_true(g_file_set_contents(path, junk, 1 << 20, NULL));
    write_trace(path, &spec);
    r = krr_reader_open(path, NULL);
    assert_true(krr_reader_complete(r));
    assert_true(krr_reader_file_size(r) < 100000);
    krr_reader_free(r);
    g_free(junk);
    g_free(path);
}

static void traces_are_for_their_owner_only(void **state)
{
    char *path = temp_path("private.krr");
    struct stat st;

    (void)state;
    krr_writer_free(open_writer(path));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    assert_int_equal(chmod(path, 0644), 0);
    krr_writer_free(open_writer(path));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 077, 0);
    g_free(path);
}

static void file_of_another_recorder_is_left_alone(void **state)
{
    char *path = temp_path("busy.krr");
    KrrWriter *w = start_writer(path);
    uint64_t before = krr_writer_bytes(w);
    struct stat st;

    (void)state;
    refuse_path(path, "another recorder");
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, before);
    krr_writer_free(w);
    krr_writer_free(open_writer(path));
    g_free(path);
}

static void calls_out_of_order_are_errors(void **state)
{
    static KrrCpuState cpu;
    char *path = temp_path("order.krr");
    KrrMachine machine = test_machine(1);
    KrrWriter *w = open_writer(path);
    GError *error = NULL;
    AnyRecord any;

    (void)state;
    make_any(&any, 0);
    assert_false(krr_writer_cpu(w, 0, &cpu, &error));
    assert_error(&error, KRR_ERROR_USAGE, "vCPU 0");
    assert_false(krr_writer_records(w, &any, any.record.size, &error));
    assert_error(&error, KRR_ERROR_USAGE, "out of order");
    assert_false(krr_writer_finish(w, KRR_END_STOPPED, 0, NULL, &error));
    assert_error(&error, KRR_ERROR_USAGE, "out of order");
    assert_true(krr_writer_machine(w, &machine, NULL));
    assert_false(krr_writer_machine(w, &machine, &error));
    assert_error(&error, KRR_ERROR_USAGE, "out of order");
    assert_false(krr_writer_cpu(w, 1, &cpu, &error));
    assert_error(&error, KRR_ERROR_USAGE, "no such vCPU");
    assert_true(krr_writer_cpu(w, 0, &cpu, NULL));
    assert_true(krr_writer_start(w, NULL));
    assert_false(krr_writer_ram(w, 0, any.bytes, 4096, &error));
    assert_error(&error, KRR_ERROR_USAGE, "out of order");
    assert_true(krr_writer_finish(w, KRR_END_STOPPED, 0, NULL, NULL));
    assert_false(krr_writer_finish(w, KRR_END_STOPPED, 0, NULL, &error));
    assert_error(&error, KRR_ERROR_USAGE, "out of order");
    assert_false(krr_writer_flush(w, &error));
    assert_error(&error, KRR_ERROR_USAGE, "out of order");
    krr_writer_free(w);
    g_free(path);
}

static void final_memory_is_whole_pages_between_records_and_end(void **state)
{
    static const uint8_t memory[8192] = { 1 };
    char *path = temp_path("final.krr");
    KrrMachine machine = test_machine(1);
    KrrWriter *w = open_writer(path);
    GError *error = NULL;
    AnyRecord any;

    (void)state;
    make_any(&any, 0);
    assert_true(krr_writer_machine(w, &machine, NULL));
    assert_false(krr_writer_final_ram(w, 0, memory, 4096, &error));
    assert_error(&error, KRR_ERROR_USAGE, "out of order");
    krr_writer_free(w);

    w = start_writer(path);
    assert_true(krr_writer_records(w, &any, any.record.size, NULL));
    assert_true(krr_writer_final_ram(w, 4096, memory, 4096, NULL));
    assert_false(krr_writer_final_ram(w, 4097, memory, 4096, &error));
    assert_error(&error, KRR_ERROR_USAGE, "not whole pages");
    assert_false(krr_writer_final_ram(w, 8192, memory, 4095, &error));
    assert_error(&error, KRR_ERROR_USAGE, "not whole pages");
    assert_false(krr_writer_records(w, &any, any.record.size, &error));
    assert_error(&error, KRR_ERROR_USAGE, "out of order");
    assert_true(krr_writer_finish(w, KRR_END_STOPPED, 0, NULL, NULL));
    assert_false(krr_writer_final_ram(w, 8192, memory, 4096, &error));
    assert_error(&error, KRR_ERROR_USAGE, "out of order");
    krr_writer_free(w);
    g_free(path);
}

static void machines_that_the_reader_would_refuse_are_not_written(void **state)
{
    char *path = temp_path("machine.krr");
    KrrMachine machine = test_machine(0);
    KrrWriter *w = open_writer(path);
    GError *error = NULL;

    (void)state;
    assert_false(krr_writer_machine(w, &machine, &error));
    assert_error(&error, KRR_ERROR_USAGE, "number of vCPUs");
    krr_writer_free(w);
    g_free(path);
}

static void bad_records_are_refused(void **state)
{
    char *path = temp_path("bad.krr");
    KrrWriter *w = start_writer(path);
    GError *error = NULL;
    AnyRecord any;

    (void)state;
    make_record(&any, KRR_KIND_TSC, 0);
    assert_false(krr_writer_records(w, &any, any.record.size - 1, &error));
    assert_error(&error, KRR_ERROR_USAGE, "record 0");
    any.record.kind = KRR_KIND_PAD;
    assert_false(krr_writer_records(w, &any, any.record.size, &error));
    assert_error(&error, KRR_ERROR_USAGE, "unknown kind");
    krr_writer_free(w);
    g_free(path);
}

static void memory_must_be_whole_pages(void **state)
{
    static uint8_t page[8192];
    char *path = temp_path("pages.krr");
    KrrMachine machine = test_machine(1);
    KrrWriter *w = open_writer(path);
    GError *error = NULL;

    (void)state;
    assert_true(krr_writer_machine(w, &machine, NULL));
    assert_false(krr_writer_ram(w, 1, page, 4096, &error));
    assert_error(&error, KRR_ERROR_USAGE, "whole pages");
    assert_false(krr_writer_ram(w, 0, page, 4095, &error));
    assert_error(&error, KRR_ERROR_USAGE, "whole pages");
    krr_writer_free(w);
    g_free(path);
}

/* In a child, because the limit is the process's. */
static void record_under_file_size_limit(const char *path, uint64_t limit)
{
    struct rlimit rlimit = { limit, limit };
    GError *error = NULL;
    AnyRecord any;
    KrrWriter *w;
    uint64_t number = 0;
    uint64_t random = 7;
    bool good;

    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &rlimit);
    w = start_writer(path);
    do {
        make_record(&any, KRR_KIND_TSC, number++);
        random_next(&random);
        memcpy(any.bytes + 16, &random, 8);
        good = krr_writer_records(w, &any, any.record.size, &error);
    } while (good && number < 1000000);
    if (good || !strstr(error->message, path) || !strstr(error->message, g_strerror(EFBIG))) {
        _exit(10);
    }
    if (krr_writer_flush(w, NULL) || krr_writer_records(w, &any, any.record.size, NULL) ||
        krr_writer_finish(w, KRR_END_STOPPED, 0, NULL, NULL)) {
        _exit(11);
    }
    krr_writer_free(w);
    _exit(0);
}

static void what_was_written_before_a_full_disk_is_readable(void **state)
{
    char *path = temp_path("limit.krr");
    GError *error = NULL;
    KrrReader *r;
    uint64_t count = 0;
    int status;
    pid_t child = fork();

    (void)state;
    if (!child) {
        record_under_file_size_limit(path, 3 << 20);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    r = krr_reader_open(path, &error);
    assert_no_error(error);
    assert_false(krr_reader_complete(r));
    /* The torn chunk was cut off. */
    assert_non_null(strstr(krr_reader_damage(r), "was not finished"));
    assert_null(strstr(krr_reader_damage(r), "middle"));
    while (krr_reader_peek(r, &error)) {
        krr_reader_next(r);
        count++;
    }
    assert_no_error(error);
    assert_int_equal(count, krr_reader_count(r));
    assert_true(count > 50000);
    krr_reader_free(r);
    g_free(path);
}

static void closed_pipe_is_reported(void **state)
{
    char *path = temp_path("pipe");
    GError *error = NULL;
    AnyRecord any;
    KrrWriter *w;
    int reader;

    (void)state;
    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(mkfifo(path, 0600), 0);
    reader = open(path, O_RDONLY | O_NONBLOCK);
    w = start_writer(path);
    close(reader);
    make_any(&any, 0);
    assert_true(krr_writer_records(w, &any, any.record.size, NULL));
    assert_false(krr_writer_flush(w, &error));
    assert_error(&error, KRR_ERROR_IO, "Broken pipe");
    assert_false(krr_writer_flush(w, &error));
    assert_error(&error, KRR_ERROR_USAGE, "failed before");
    krr_writer_free(w);
    g_free(path);
}

static void statistics_are_counted_while_writing(void **state)
{
    char *path = temp_path("stats.krr");
    KrrWriter *w = start_writer(path);
    AnyRecord any;
    KrrReader *r;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        make_port_write(&any, 0x3f8, 1, 'a' + i);
        assert_true(krr_writer_records(w, &any, any.record.size, NULL));
    }
    assert_true(krr_writer_flush(w, NULL));
    krr_writer_timing(w, 1, 2, 3);
    assert_int_equal(krr_writer_stats(w)->records[KRR_KIND_PORT_WRITE], 10);
    assert_int_equal(krr_writer_stats(w)->console_bytes, 10);
    assert_int_equal(krr_writer_stats(w)->raw_bytes, 320);
    assert_true(krr_writer_stats(w)->file_bytes > 64);
    assert_true(krr_writer_finish(w, KRR_END_STOPPED, 5, NULL, NULL));
    krr_writer_free(w);

    r = krr_reader_open(path, NULL);
    assert_int_equal(krr_reader_stats(r)->console_bytes, 10);
    assert_int_equal(krr_reader_stats(r)->pause_us, 1);
    assert_int_equal(krr_reader_stats(r)->duration_us, 2);
    assert_int_equal(krr_reader_stats(r)->ring_full, 3);
    krr_reader_free(r);
    g_free(path);
}

static void lock_times_are_stored_for_each_vcpu(void **state)
{
    char *path = temp_path("times.krr");
    TraceSpec spec = { .vcpus = 3, .records = 1, .site = 0xffffffff81000123 };
    struct krr_times expected, none = { 0 };
    KrrReader *r;

    (void)state;
    write_trace(path, &spec);
    r = krr_reader_open(path, NULL);
    for (uint32_t i = 0; i < spec.vcpus; i++) {
        expected = test_times(i, spec.site);
        assert_memory_equal(&krr_reader_stats(r)->times[i], &expected, sizeof(expected));
    }
    for (uint32_t i = spec.vcpus; i < KRR_MAX_VCPUS; i++) {
        assert_memory_equal(&krr_reader_stats(r)->times[i], &none, sizeof(none));
    }
    krr_reader_free(r);
    g_free(path);
}

static void bytes_written_are_the_size_of_the_file(void **state)
{
    char *path = temp_path("size.krr");
    KrrWriter *w = start_writer(path);
    struct stat st;

    (void)state;
    assert_true(krr_writer_finish(w, KRR_END_STOPPED, 0, NULL, NULL));
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_size, krr_writer_bytes(w));
    krr_writer_free(w);
    g_free(path);
}

static void end_text_is_cut_to_fit(void **state)
{
    char *path = temp_path("text.krr");
    char *text = g_strnfill(1000, 'y');
    KrrWriter *w = start_writer(path);
    KrrReader *r;

    (void)state;
    assert_true(krr_writer_finish(w, KRR_END_DMA, 0, text, NULL));
    krr_writer_free(w);
    r = krr_reader_open(path, NULL);
    assert_int_equal(strlen(krr_reader_end_text(r)), KRR_END_TEXT - 1);
    krr_reader_free(r);
    g_free(text);
    g_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unwritable_paths_are_refused),
        cmocka_unit_test(full_disk_is_reported_with_path_and_reason),
        cmocka_unit_test(existing_file_is_replaced),
        cmocka_unit_test(traces_are_for_their_owner_only),
        cmocka_unit_test(file_of_another_recorder_is_left_alone),
        cmocka_unit_test(calls_out_of_order_are_errors),
        cmocka_unit_test(final_memory_is_whole_pages_between_records_and_end),
        cmocka_unit_test(machines_that_the_reader_would_refuse_are_not_written),
        cmocka_unit_test(bad_records_are_refused),
        cmocka_unit_test(memory_must_be_whole_pages),
        cmocka_unit_test(what_was_written_before_a_full_disk_is_readable),
        cmocka_unit_test(closed_pipe_is_reported),
        cmocka_unit_test(statistics_are_counted_while_writing),
        cmocka_unit_test(lock_times_are_stored_for_each_vcpu),
        cmocka_unit_test(bytes_written_are_the_size_of_the_file),
        cmocka_unit_test(end_text_is_cut_to_fit),
    };

    return cmocka_run_group_tests(tests, make_temp_dir, remove_temp_dir);
}
