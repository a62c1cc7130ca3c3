/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The krr tool as its user sees it: output, messages and exit statuses. Needs
 * KRR_TOOL and FAKE_VMLINUX in the environment.
 */
#define _GNU_SOURCE                     /* memmem() */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"
#include "krr/format.h"

#define LINKED  0xffffffff81000000ull       /* where fake-vmlinux is linked to */
#define OFFSET  0x1a000000ull               /* and how far the kernel was moved */

static char *trace, *smp, *crashed, *foreign;

static const TraceSpec spec = { .records = 500, .ram_pages = 2, .final_pages = 1 };

typedef struct Result {
    int status;
    char *out, *err;
} Result;

static int set_up(void **state)
{
    TraceSpec cut = { .records = 100, .flush_every = 10, .unfinished = true };
    TraceSpec two = {
        .vcpus = 2, .records = 10, .tsc_khz = 2000000, .duration_us = 15000,
        .kernel_text = LINKED + OFFSET, .site = LINKED + OFFSET + 32,
    };

    if (!getenv("KRR_TOOL") || !getenv("FAKE_VMLINUX") || make_temp_dir(state)) {
        return -1;
    }
    trace = temp_path("good, \"one\".krr");
    smp = temp_path("smp.krr");
    crashed = temp_path("crashed.krr");
    foreign = temp_path("foreign.krr");
    write_trace(trace, &spec);
    write_trace(smp, &two);
    write_trace(crashed, &cut);
    return g_file_set_contents(foreign, "hello", 5, NULL) ? 0 : -1;
}

static int tear_down(void **state)
{
    g_free(trace);
    g_free(smp);
    g_free(crashed);
    g_free(foreign);
    return remove_temp_dir(state);
}

/* Runs krr with the words of @arguments and, if not NULL, @file. */
static Result krr(const char *arguments, const char *file)
{
    char **words = g_strsplit(arguments, " ", -1);
    GPtrArray *argv = g_ptr_array_new();
    GError *error = NULL;
    Result r;
    int wait_status;

    g_ptr_array_add(argv, getenv("KRR_TOOL"));
    for (char **w = words; *w; w++) {
        if (**w) {
            g_ptr_array_add(argv, *w);
        }
    }
    g_ptr_array_add(argv, (gpointer)file);
    g_ptr_array_add(argv, NULL);
    g_spawn_sync(NULL, (char **)argv->pdata, NULL, G_SPAWN_DEFAULT, NULL, NULL, &r.out, &r.err,
                 &wait_status, &error);
    assert_no_error(error);
    assert_true(WIFEXITED(wait_status));
    r.status = WEXITSTATUS(wait_status);
    g_ptr_array_free(argv, TRUE);
    g_strfreev(words);
    return r;
}

static void check(Result r, int status, const char *out, const char *err)
{
    if (r.status != status || !strstr(r.out, out) || !strstr(r.err, err)) {
        print_error("status %d\n--- output\n%s--- messages\n%s---\n", r.status, r.out, r.err);
        fail();
    }
    g_free(r.out);
    g_free(r.err);
}

static void help_and_version_are_there(void **state)
{
    static const char *const commands[] = { "info", "dump", "stats", "verify", "console", "gdb" };

    (void)state;
    check(krr("--version", NULL), 0, "trace format 1", "");
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        char *arguments = g_strdup_printf("%s --help", commands[i]);

        check(krr("--help", NULL), 0, commands[i], "");
        check(krr(arguments, NULL), 0, "TRACE", "");
        g_free(arguments);
    }
}

static void wrong_usage_is_status_2(void **state)
{
    (void)state;
    check(krr("", NULL), 2, "", "Usage");
    check(krr("frobnicate", trace), 2, "", "unknown command 'frobnicate'");
    check(krr("info", NULL), 2, "", "no trace is given");
    check(krr("info a", trace), 2, "", "too many arguments");
    check(krr("stats a", trace), 2, "", "too many arguments");
    check(krr("info --", trace), 0, "6.1.0-test", "");
    check(krr("info --", NULL), 2, "", "no trace is given");
    check(krr("info --nonsense", trace), 2, "", "--nonsense");
    check(krr("dump --from -1", trace), 2, "", "from 0 on");
    check(krr("dump --kind nonsense", trace), 2, "", "unknown kind of record 'nonsense'");
    check(krr("gdb --port 70000", trace), 2, "", "65535");
}

static void unreadable_traces_are_status_1(void **state)
{
    static const char *const commands[] = { "info", "dump", "stats", "verify", "console", "gdb" };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(commands); i++) {
        check(krr(commands[i], foreign), 1, "", "not a KRR trace");
        check(krr(commands[i], "/no/such/trace"), 1, "", "No such file");
    }
}

static void info_shows_machine_and_end(void **state)
{
    (void)state;
    check(krr("info", trace), 0, "it broke", "");
    check(krr("info", trace), 0, "6.1.0-test", "");
    check(krr("info", trace), 0, "final-ram", "");
}

/* Asserts what print() writes of the values, Python's, in the JSON that krr printed as i. */
static void check_json(const char *arguments, const char *path, const char *values,
                       const char *expected)
{
    Result r = krr(arguments, path);
    char *file = temp_path("output.json"), *out = NULL, *err = NULL;
    char *script = g_strdup_printf("import json, sys; i = json.load(open(sys.argv[1])); print(%s)",
                                   values);
    char *argv[] = { "python3", "-c", script, file, NULL };

    assert_true(g_file_set_contents(file, r.out, -1, NULL));
    assert_true(g_spawn_sync(NULL, argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, &out, &err, NULL,
                             NULL));
    assert_string_equal(err, "");
    assert_string_equal(out, expected);
    check(r, 0, "{", "");
    g_free(script);
    g_free(out);
    g_free(err);
    g_free(file);
}

static void info_json_can_be_parsed(void **state)
{
    (void)state;
    check_json("info --json", trace,
               "i['records'], i['complete'], i['end_reason'], i['end_status'], "
               "i['console_bytes'], i['machine']['vcpus'], i['machine']['memory'][0]['length'], "
               "len(i['sections'])",
               "500 True panic 7 0 1 67108864 9\n");
    check(krr("info --json", trace), 0, "\"damage\": null", "");
}

static unsigned lines(const char *text)
{
    unsigned count = 0;

    for (; *text; text++) {
        count += *text == '\n';
    }
    return count;
}

static void dump_prints_one_line_per_record(void **state)
{
    Result r = krr("dump", trace);

    (void)state;
    assert_int_equal(lines(r.out), spec.records);
    check(r, 0, "\n499 ", "");
    r = krr("dump --from 490", trace);
    assert_int_equal(lines(r.out), 10);
    check(r, 0, "490 ", "");
    r = krr("dump --from 10 --count 3", trace);
    assert_int_equal(lines(r.out), 3);
    check(r, 0, "10 ", "");
    r = krr("dump --kind tsc --kind msr --count 5", trace);
    assert_int_equal(lines(r.out), 5);
    check(r, 0, " tsc vcpu 0", "");
    check(krr("dump --from 500", trace), 0, "", "");
    check(krr("dump --from 501", trace), 1, "", "there is no record 501");
}

static void symbols_need_a_file_with_symbols(void **state)
{
    char *arguments = g_strdup_printf("dump --vmlinux %s", foreign);

    (void)state;
    check(krr("dump --vmlinux /no/such/vmlinux", trace), 1, "", "/no/such/vmlinux: No such file");
    check(krr(arguments, trace), 1, "", "not a vmlinux");
    g_free(arguments);
}

/* A trace of a kernel at @text, whose build id has all bytes @id; no records yet. */
static KrrWriter *start_trace(const char *path, uint64_t text, uint8_t id)
{
    KrrMachine machine = test_machine(1);
    KrrCpuState *cpu = g_new0(KrrCpuState, 1);
    KrrWriter *w = krr_writer_new(path, NULL);

    machine.kernel_text = text;
    memset(machine.build_id, id, sizeof(machine.build_id));
    assert_true(krr_writer_machine(w, &machine, NULL));
    assert_true(krr_writer_cpu(w, 0, cpu, NULL));
    assert_true(krr_writer_start(w, NULL));
    g_free(cpu);
    return w;
}

static void add_record(KrrWriter *w, unsigned kind, uint64_t number, uint64_t site)
{
    AnyRecord any;

    make_record(&any, kind, number);
    any.record.site = (uint32_t)site;
    if (kind == KRR_KIND_EXCEPTION) {
        ((struct krr_trap *)(any.bytes + sizeof(any.record)))->rip = LINKED + OFFSET + 80;
    }
    assert_true(krr_writer_records(w, &any, any.record.size, NULL));
}

static void finish_trace(KrrWriter *w)
{
    assert_true(krr_writer_finish(w, KRR_END_STOPPED, 0, NULL, NULL));
    krr_writer_free(w);
}

/* One TSC record for each call site. */
static void write_sites(const char *path, const uint64_t *sites, unsigned count)
{
    KrrWriter *w = start_trace(path, LINKED + OFFSET, 0);

    for (unsigned i = 0; i < count; i++) {
        add_record(w, KRR_KIND_TSC, i, LINKED + OFFSET + sites[i]);
    }
    add_record(w, KRR_KIND_EXCEPTION, 14, 0);
    finish_trace(w);
}

static void call_sites_are_named_where_the_kernel_was_moved_to(void **state)
{
    /* In a function, right behind one (a call that does not return), between two, beyond all. */
    static const uint64_t sites[] = { 8, 32, 40, 64 + 5, 0x100000 };
    char *path = temp_path("sites.krr");
    char *arguments = g_strdup_printf("dump --vmlinux %s", getenv("FAKE_VMLINUX"));
    Result r;

    (void)state;
    write_sites(path, sites, G_N_ELEMENTS(sites));
    r = krr(arguments, path);
    assert_non_null(strstr(r.out, "\n1 tsc vcpu 0 ordinal 1 value 0x1 at first_function+0x20\n"));
    assert_non_null(strstr(r.out, " at 0xffffffff9b000028\n"));
    assert_non_null(strstr(r.out, " at second_function+0x5\n"));
    assert_non_null(strstr(r.out, " at 0xffffffff9b100000\n"));
    assert_non_null(strstr(r.out, " in second_function+0x10\n"));
    check(r, 0, "0 tsc vcpu 0 ordinal 0 value 0x0 at first_function+0x8\n", "");
    g_free(arguments);

    arguments = g_strdup_printf("gdb --vmlinux %s", getenv("FAKE_VMLINUX"));
    check(krr(arguments, path), 0, "symbol-file -o 0x1a000000 \"", "");
    g_free(arguments);
    g_free(path);
}

static void kernel_at_an_unknown_place_is_a_warning(void **state)
{
    char *arguments = g_strdup_printf("dump --vmlinux %s", getenv("FAKE_VMLINUX"));

    (void)state;
    check(krr(arguments, trace), 0, "", "assuming no KASLR");
    g_free(arguments);
}

static void stats_show_kinds_and_sizes(void **state)
{
    (void)state;
    check(krr("stats", trace), 0, "user-bytes", "");
    check(krr("stats", trace), 0, "per record", "");
    check(krr("stats", crashed), 0, "user-bytes", "incomplete trace");
}

/* 2 GHz, 15 ms: 2000 cycles are a microsecond, 30 million all of it. */
static void stats_show_how_the_lock_was_used(void **state)
{
    (void)state;
    check(krr("stats", smp), 0,
          "\nlock held              slices         total us    share       median          99%"
          "        longest\n"
          "vcpu 0                    100         1500.000   10.00%       <0.008       <1.024"
          "      <1048.576\n"
          "vcpu 1                    100         1500.001   10.00%       <0.008       <1.024"
          "      <1048.576\n"
          "\nlock waited             waits         total us    share       median          99%"
          "        longest\n"
          "vcpu 0                      0            0.000    0.00%            -            -"
          "              -\n"
          "vcpu 1                      1     34359738.368 229064.92% >=17179869.184 "
          ">=17179869.184 >=17179869.184\n"
          "\nlock granted           grants         total us    share       median          99%"
          "        longest\n"
          "vcpu 0                      2            3.000    0.02%       <2.048       <2.048"
          "         <2.048\n"
          "vcpu 1                      2            3.000    0.02%       <2.048       <2.048"
          "         <2.048\n"
          "\nhand-offs                wait        resched           long\n"
          "vcpu 0                     10             20             30\n"
          "vcpu 1                     11             21             31\n"
          "\nstretch                    us  longest without a safepoint, and where it ended\n"
          "vcpu 0                  2.500  0xffffffff9b000020\n"
          "vcpu 1                  3.000  0xffffffff9b000020\n", "");
}

static void stats_name_the_site_of_the_longest_stretch(void **state)
{
    char *text = g_strdup_printf("stats --vmlinux %s", getenv("FAKE_VMLINUX"));
    char *json = g_strdup_printf("stats --json --vmlinux %s", getenv("FAKE_VMLINUX"));

    (void)state;
    check(krr(text, smp), 0, "\nvcpu 1                  3.000  first_function+0x20\n", "");
    check_json(json, smp, "i['lock'][0]['stretch']['symbol']", "first_function+0x20\n");
    check(krr("stats --vmlinux /no/such/vmlinux", smp), 1, "", "/no/such/vmlinux: No such file");
    g_free(text);
    g_free(json);
}

/* Without a speed of the TSC there is no microsecond, without a duration no share. */
static void unknown_clocks_leave_cycles(void **state)
{
    (void)state;
    check(krr("stats", trace), 0,
          " total cycles    share       median          99%        longest\n"
          "vcpu 0                    100          3000000        -          <16        <2048"
          "       <2097152\n", "");
    check(krr("stats", trace), 0, "\nstretch                cycles ", "");
    /* And an address of 0 is none. */
    check(krr("stats", trace), 0, "\nvcpu 0                   5000\n", "");
    check_json("stats --json", trace,
               "i['tsc_khz'], i['lock'][0]['held']['cycles'], i['lock'][0]['held']['us']",
               "None 3000000 None\n");
}

static void stats_json_can_be_parsed(void **state)
{
    (void)state;
    check_json("stats --json", smp,
               "i['complete'], i['records'], sum(k['records'] for k in i['kinds']), "
               "sum(k['bytes'] for k in i['kinds']) == i['raw_bytes'], i['duration_us'], "
               "i['tsc_khz'], len(i['lock'])",
               "True 10 10 True 15000 2000000 2\n");
    check_json("stats --json", smp,
               "[i['lock'][1][k] for k in ('vcpu', 'handoffs', 'stretch')]",
               "[1, {'wait': 11, 'resched': 21, 'long': 31}, {'cycles': 6000, 'us': 3, "
               "'site': '0xffffffff9b000020', 'symbol': None}]\n");
    check_json("stats --json", smp,
               "[[v[k] for k in v if k != 'histogram'] for w in i['lock'] "
               "for v in (w['held'], w['waited'])]",
               "[[100, 3000000, 1500, 3, 10, 20], [0, 0, 0, None, None, None], "
               "[100, 3000001, 1500, 3, 10, 20], [1, 68719476736, 34359738, 35, 35, 35]]\n");
    check_json("stats --json", smp,
               "i['lock'][1]['granted']['count'], i['lock'][1]['granted']['us']", "2 3\n");
    check_json("stats --json", smp,
               "[(len(h), {n: c for n, c in enumerate(h) if c}) for w in i['lock'] "
               "for h in (w['held']['histogram'], w['waited']['histogram'])]",
               "[(36, {3: 60, 10: 39, 20: 1}), (36, {}), "
               "(36, {3: 60, 10: 39, 20: 1}), (36, {35: 1})]\n");
}

static void what_an_incomplete_trace_does_not_have_is_not_known(void **state)
{
    Result r = krr("stats", crashed);

    (void)state;
    assert_null(strstr(r.out, "vcpu 0"));
    check(r, 0, "\nlock times     not known", "incomplete trace");
    check_json("stats --json", crashed,
               "i['complete'], i['records'], i['lock'], i['duration_us'], i['ring_full']",
               "False 100 None None None\n");
    check_json("info --json", crashed, "i['duration_us'], i['pause_us'], i['ring_full']",
               "None None None\n");
}

/* ---- coverage ---- */

#define HOOKED      (LINKED + 0x100)        /* hooked_function of fake-vmlinux */
#define CALL(n)     (HOOKED + 5 * (n))      /* behind its nth call */
#define BUILD_ID    1

/* Runs krr stats --coverage with @options on two traces. */
static Result coverage(const char *options, const char *first, const char *second)
{
    char *arguments = g_strdup_printf("stats --coverage --vmlinux %s %s %s",
                                      getenv("FAKE_VMLINUX"), options, first);
    Result r = krr(arguments, second);

    g_free(arguments);
    return r;
}

/* What the vCPU and QEMU may leave of a hook; the kernel is where it was linked plus @offset. */
static void write_hooks(const char *path, uint64_t offset)
{
    KrrWriter *w = start_trace(path, LINKED + offset, BUILD_ID);

    add_record(w, KRR_KIND_RESUME, 0, CALL(6) + offset);
    add_record(w, KRR_KIND_TSC, 1, CALL(1) + offset);
    add_record(w, KRR_KIND_TSC, 2, CALL(1) + offset);
    /* No call sites: sizes, and nothing. */
    add_record(w, KRR_KIND_PORT_READ, 3, 4);
    add_record(w, KRR_KIND_DMA, 4, 0);
    add_record(w, KRR_KIND_EXCEPTION, 5, 0);
    /* A module's, which KASLR moves in its own way. */
    add_record(w, KRR_KIND_TSC, 6, 0xc0000123);
    finish_trace(w);
}

static void coverage_unites_traces(void **state)
{
    char *one = temp_path("one.krr"), *two = temp_path("two.krr");
    char *json = g_strdup_printf("stats --coverage --json --vmlinux %s %s", getenv("FAKE_VMLINUX"),
                                 one);
    KrrWriter *w;

    (void)state;
    write_hooks(one, OFFSET);
    w = start_trace(two, LINKED, 0);
    add_record(w, KRR_KIND_TSC, 0, CALL(1));
    add_record(w, KRR_KIND_HANDOFF, 1, CALL(2));
    add_record(w, KRR_KIND_RESUME, 2, CALL(2));
    finish_trace(w);
    check_json(json, two,
               "[[s[k] for k in ('symbol', 'hook', 'state', 'records')] for s in i['sites']], "
               "i['module_records'], len(i['traces'])",
               "[['hooked_function+0x5', 'tsc', 'exercised', 3], "
               "['hooked_function+0xa', 'safepoint', 'exercised', 2], "
               "['hooked_function+0xf', 'release', 'unknown', 0], "
               "['hooked_function+0x14', 'tsc', 'never', 0], "
               "['hooked_function+0x19', 'entry', 'never', 0], "
               "['hooked_function+0x1e', 'acquire', 'exercised', 1], "
               "['boot_function+0x5', 'tsc', 'boot', 0]] 1 2\n");
    check_json(json, one, "i['sites'][0]['records'], i['sites'][1]['state']", "4 unknown\n");
    g_free(json);
    g_free(one);
    g_free(two);
}

static void coverage_lists_what_was_never_exercised(void **state)
{
    char *one = temp_path("one.krr");

    (void)state;
    write_hooks(one, OFFSET);
    check(coverage("", one, NULL), 0,
          "hook               sites exercised     never   unknown      boot        records\n"
          "tsc                    3         1         1         0         1              2\n"
          "safepoint              1         0         0         1         0              0\n"
          "entry                  1         0         1         0         0              0\n"
          "release                1         0         0         1         0              0\n"
          "acquire                1         1         0         0         0              1\n"
          "\nexercised (records, hook, site):\n"
          "             2  tsc           hooked_function+0x5  fake-vmlinux.c:", "");
    check(coverage("", one, NULL), 0,
          "\nnever exercised:\n"
          "             -  tsc           hooked_function+0x14  fake-vmlinux.c:", "");
    check(coverage("", one, NULL), 0, "\nmodules: 1 records", "");
    g_free(one);
}

/* Debug information is an extra. */
static void coverage_does_without_source_lines(void **state)
{
    char *one = temp_path("one.krr"), *stripped = temp_path("stripped"), *path;
    char *command = g_strdup_printf("objcopy --strip-debug '%s' '%s'", getenv("FAKE_VMLINUX"),
                                    stripped);
    char *arguments = g_strdup_printf("stats --coverage --vmlinux %s", stripped);

    (void)state;
    write_hooks(one, OFFSET);
    assert_int_equal(system(command), 0);
    check(krr(arguments, one), 0, "  tsc           hooked_function+0x5\n", "");
    path = g_strdup(getenv("PATH"));
    g_setenv("PATH", "/no/such/folder", TRUE);
    check(krr(arguments, one), 0, "  tsc           hooked_function+0x5\n", "cannot run addr2line");
    check(coverage("--no-lines", one, NULL), 0, "  tsc           hooked_function+0x5\n", "");
    g_setenv("PATH", path, TRUE);
    g_free(path);
    g_free(command);
    g_free(arguments);
    g_free(stripped);
    g_free(one);
}

static void coverage_is_told_from_records_of_this_kernel_only(void **state)
{
    char *good = temp_path("one.krr"), *bad = temp_path("bad.krr");
    KrrWriter *w = start_trace(bad, LINKED + OFFSET, BUILD_ID + 1);

    (void)state;
    write_hooks(good, OFFSET);
    finish_trace(w);
    check(coverage("", good, bad), 1, "", "build id differs");
    /* In the kernel, where no hook is; from a hook that does not write this kind. */
    w = start_trace(bad, LINKED + OFFSET, BUILD_ID);
    add_record(w, KRR_KIND_TSC, 0, CALL(1) + OFFSET);
    add_record(w, KRR_KIND_TSC, 1, CALL(1) + OFFSET + 1);
    finish_trace(w);
    check(coverage("", bad, good), 1, "", "bad.krr: record 1 (tsc) comes from 0xffffffff9b000106");
    w = start_trace(bad, LINKED + OFFSET, BUILD_ID);
    add_record(w, KRR_KIND_MSR, 0, CALL(1) + OFFSET);
    finish_trace(w);
    check(coverage("", bad, good), 1, "", "bad.krr: record 0 (msr) comes from 0xffffffff9b000105");
    w = start_trace(bad, LINKED + OFFSET, BUILD_ID);
    add_record(w, KRR_KIND_HANDOFF, 0, CALL(3) + OFFSET);
    finish_trace(w);
    check(coverage("", bad, good), 1, "", "bad.krr: record 0 (handoff) comes from");
    g_free(good);
    g_free(bad);
}

static void coverage_needs_traces_and_a_kernel_with_hooks(void **state)
{
    char *none = g_strdup_printf("stats --coverage --vmlinux %s", getenv("KRR_TOOL"));
    char *no_elf = g_strdup_printf("stats --coverage --vmlinux %s", foreign);

    (void)state;
    check(krr("stats --coverage", smp), 2, "", "--coverage needs --vmlinux");
    check(krr("stats --no-lines", smp), 2, "", "--no-lines is for --coverage");
    check(coverage("", "--json", NULL), 2, "", "no trace is given");
    check(coverage("", foreign, NULL), 1, "", "not a KRR trace");
    check(coverage("", smp, "/no/such/trace"), 1, "", "No such file");
    /* As far as they go. */
    check(coverage("", crashed, smp), 0, "never exercised", "incomplete trace");
    check(krr(none, smp), 1, "", "has no hook of the KRR recorder");
    check(krr(no_elf, smp), 1, "", "is not a vmlinux file");
    check(krr("stats --coverage --vmlinux /no/such/vmlinux", smp), 1, "",
          "/no/such/vmlinux: No such file");
    g_free(none);
    g_free(no_elf);
}

static void verify_says_how_far_a_trace_is_good(void **state)
{
    char *data, *path = temp_path("flipped.krr");
    gsize length;

    (void)state;
    check(krr("verify", trace), 0, "the first 500 records are good", "");
    check(krr("verify", crashed), 1, "the first 100 records are good", "not finished");
    assert_true(g_file_get_contents(trace, &data, &length, NULL));
    data[length / 2] ^= 4;
    assert_true(g_file_set_contents(path, data, length, NULL));
    check(krr("verify", path), 1, "", "damaged at byte");
    g_free(data);
    g_free(path);
}

static void incomplete_traces_are_read_with_a_message(void **state)
{
    Result r = krr("dump", crashed);

    (void)state;
    assert_int_equal(lines(r.out), 100);
    check(r, 0, "\n99 ", "incomplete trace");
    check(krr("info", crashed), 0, "qemu-exit", "incomplete trace");
    check(krr("info --json", crashed), 0, "\"complete\": false", "incomplete trace");
    check(krr("console", crashed), 0, "", "incomplete trace");
}

/* The trailer and the index are as they should be, a chunk between is not. */
static void info_tells_what_it_can_of_a_damaged_trace(void **state)
{
    /* Magic and type, as a header of a chunk of events begins. */
    static const uint16_t begin[] = { KRR_CHUNK_MAGIC & 0xffff, KRR_CHUNK_MAGIC >> 16,
                                      KRR_CHUNK_EVENTS };
    char *data, *header, *path = temp_path("header.krr");
    gsize length;

    (void)state;
    assert_true(g_file_get_contents(trace, &data, &length, NULL));
    header = memmem(data, length, begin, sizeof(begin));
    assert_non_null(header);
    header[sizeof(KrrChunkHeader) - 1] ^= 4;
    assert_true(g_file_set_contents(path, data, length, NULL));
    check(krr("info", path), 0, "it broke", "damaged at byte");
    check(krr("info --json", path), 0, "\"complete\": false", "damaged at byte");
    check(krr("info --json", path), 0, "\"records\": 500", "damaged at byte");
    g_free(data);
    g_free(path);
}

static void gdb_commands_connect_to_the_port(void **state)
{
    (void)state;
    check(krr("gdb", trace), 0, "target remote :1234\n", "");
    check(krr("gdb --port 4444", trace), 0, "target remote :4444\n", "");
}

static void full_disk_behind_the_output_is_an_error(void **state)
{
    char *command = g_strdup_printf("'%s' dump '%s' > /dev/full 2>/dev/null", getenv("KRR_TOOL"),
                                    crashed);

    (void)state;
    assert_int_equal(WEXITSTATUS(system(command)), 1);
    g_free(command);
}

static void closed_pipe_behind_the_output_is_quiet(void **state)
{
    char *path = temp_path("errors"), *said;
    int ends[2], status;
    pid_t child;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    close(ends[0]);
    child = fork();
    if (!child) {
        signal(SIGPIPE, SIG_DFL);
        if (dup2(ends[1], STDOUT_FILENO) >= 0 && freopen(path, "w", stderr)) {
            execl(getenv("KRR_TOOL"), "krr", "dump", trace, NULL);
        }
        _exit(127);
    }
    close(ends[1]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGPIPE);
    assert_true(g_file_get_contents(path, &said, NULL, NULL));
    assert_string_equal(said, "");
    g_free(said);
    g_free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(help_and_version_are_there),
        cmocka_unit_test(wrong_usage_is_status_2),
        cmocka_unit_test(unreadable_traces_are_status_1),
        cmocka_unit_test(info_shows_machine_and_end),
        cmocka_unit_test(info_json_can_be_parsed),
        cmocka_unit_test(info_tells_what_it_can_of_a_damaged_trace),
        cmocka_unit_test(dump_prints_one_line_per_record),
        cmocka_unit_test(symbols_need_a_file_with_symbols),
        cmocka_unit_test(call_sites_are_named_where_the_kernel_was_moved_to),
        cmocka_unit_test(kernel_at_an_unknown_place_is_a_warning),
        cmocka_unit_test(stats_show_kinds_and_sizes),
        cmocka_unit_test(stats_show_how_the_lock_was_used),
        cmocka_unit_test(stats_name_the_site_of_the_longest_stretch),
        cmocka_unit_test(unknown_clocks_leave_cycles),
        cmocka_unit_test(stats_json_can_be_parsed),
        cmocka_unit_test(what_an_incomplete_trace_does_not_have_is_not_known),
        cmocka_unit_test(coverage_unites_traces),
        cmocka_unit_test(coverage_lists_what_was_never_exercised),
        cmocka_unit_test(coverage_does_without_source_lines),
        cmocka_unit_test(coverage_is_told_from_records_of_this_kernel_only),
        cmocka_unit_test(coverage_needs_traces_and_a_kernel_with_hooks),
        cmocka_unit_test(verify_says_how_far_a_trace_is_good),
        cmocka_unit_test(incomplete_traces_are_read_with_a_message),
        cmocka_unit_test(gdb_commands_connect_to_the_port),
        cmocka_unit_test(full_disk_behind_the_output_is_an_error),
        cmocka_unit_test(closed_pipe_behind_the_output_is_quiet),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
