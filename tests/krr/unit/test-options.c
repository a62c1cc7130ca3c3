/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"
#include "krr/options.h"

static KrrOptions *parse(const char *text)
{
    GError *error = NULL;
    KrrOptions *o = krr_options_parse(text, &error);

    assert_no_error(error);
    return o;
}

static void refuse(const char *text, const char *part)
{
    GError *error = NULL;

    assert_null(krr_options_parse(text, &error));
    assert_error(&error, KRR_ERROR_OPTION, part);
}

static void recording_has_defaults(void **state)
{
    KrrOptions *o = parse("record=a.krr");

    (void)state;
    assert_int_equal(o->mode, KRR_MODE_RECORD);
    assert_string_equal(o->path, "a.krr");
    assert_false(o->start_boot);
    assert_false(o->final_ram);
    assert_int_equal(o->ring_size, KRR_RING_DEFAULT);
    krr_options_free(o);
}

static void recording_takes_all_its_options_in_any_order(void **state)
{
    KrrOptions *o = parse("final-ram=on,ring=64K,start=boot,record=/x/y=z.krr");

    (void)state;
    assert_string_equal(o->path, "/x/y=z.krr");
    assert_true(o->start_boot);
    assert_true(o->final_ram);
    assert_int_equal(o->ring_size, 65536);
    krr_options_free(o);
}

static void replay_takes_its_options(void **state)
{
    KrrOptions *o = parse("replay=a,exit=on,progress=off,strict=on");

    (void)state;
    assert_int_equal(o->mode, KRR_MODE_REPLAY);
    assert_true(o->exit_at_end);
    assert_false(o->progress);
    assert_true(o->strict);
    krr_options_free(o);
    o = parse("progress=on,replay=a,exit=off");
    assert_false(o->exit_at_end);
    assert_true(o->progress);
    assert_false(o->strict);
    krr_options_free(o);
}

static void doubled_comma_is_part_of_the_file_name(void **state)
{
    KrrOptions *o = parse("record=a,,b,,,,c,start=manual");

    (void)state;
    assert_string_equal(o->path, "a,b,,c");
    assert_false(o->start_boot);
    krr_options_free(o);
}

static void ring_sizes_have_units(void **state)
{
    static const struct {
        const char *text;
        uint32_t size;
    } good[] = {
        { "ring=65536,record=a", 65536 }, { "ring=128K,record=a", 131072 },
        { "ring=1M,record=a", 1 << 20 }, { "ring=1m,record=a", 1 << 20 },
        { "ring=1G,record=a", 1 << 30 }, { "ring=1024M,record=a", 1 << 30 },
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(good); i++) {
        KrrOptions *o = parse(good[i].text);

        assert_int_equal(o->ring_size, good[i].size);
        krr_options_free(o);
    }
}

static void bad_ring_sizes_are_refused_with_the_range(void **state)
{
    static const char *const bad[] = {
        "0", "", "1", "32K", "2G", "3M", "-1", "+2M", "2MB", "M", "0x100000", " 1M", "1M ",
        "99999999999999999999999", "4294967296", "18446744073709617152", "1e6", "17179869184G",
    };

    (void)state;
    for (unsigned i = 0; i < G_N_ELEMENTS(bad); i++) {
        char *text = g_strdup_printf("record=a,ring=%s", bad[i]);

        refuse(text, "powers of two from 64K to 1024M");
        g_free(text);
    }
}

static void missing_mode_is_refused(void **state)
{
    (void)state;
    refuse("start=boot", "record=FILE or replay=FILE is missing");
    refuse("", "unknown option ''");
}

static void noise_is_parsed(void **state)
{
    GError *error = NULL;
    KrrOptions *o = krr_options_parse("noise=flags+evict", &error);

    (void)state;
    assert_null(error);
    assert_int_equal(o->mode, KRR_MODE_NONE);
    assert_int_equal(o->noise, KRR_NOISE_FLAGS | KRR_NOISE_EVICT);
    krr_options_free(o);
    o = krr_options_parse("record=a,noise=all", &error);
    assert_null(error);
    assert_int_equal(o->mode, KRR_MODE_RECORD);
    assert_int_equal(o->noise, KRR_NOISE_ALL);
    krr_options_free(o);
    refuse("noise=", "allowed are flags, faults, accessed, evict, xinuse");
    refuse("noise=flags+", "allowed are flags");
    refuse("noise=loud", "allowed are flags");
    refuse("replay=a,noise=all", "a replay is without 'noise'");
    refuse("noise=all,start=boot", "'start' only goes with 'record'");
}

static void missing_values_are_refused(void **state)
{
    (void)state;
    refuse("record", "needs a value");
    refuse("record=", "needs the name of a trace");
    refuse("replay=", "needs the name of a trace");
    refuse("record=a,start", "needs a value");
}

static void unknown_options_are_named(void **state)
{
    (void)state;
    refuse("record=a,speed=9", "unknown option 'speed'");
    refuse("record=a,", "unknown option ''");
    refuse("Record=a", "unknown option 'Record'");
    refuse("rec=a", "unknown option 'rec'");
    refuse("a.krr", "unknown option 'a.krr'");
    refuse("record=a,b.krr", "a comma in a file name is written twice");
}

static void conflicts_are_refused(void **state)
{
    (void)state;
    refuse("record=a,replay=b", "exclude each other");
    refuse("replay=a,record=b", "exclude each other");
    refuse("record=a,record=b", "'record' is given twice");
    refuse("record=a,start=boot,start=manual", "'start' is given twice");
    refuse("replay=a,ring=2M", "'ring' only goes with 'record'");
    refuse("ring=2M,replay=a", "'ring' only goes with 'record'");
    refuse("replay=a,final-ram=on", "'final-ram' only goes with 'record'");
    refuse("replay=a,start=boot", "'start' only goes with 'record'");
    refuse("record=a,exit=on", "'exit' only goes with 'replay'");
    refuse("record=a,progress=on", "'progress' only goes with 'replay'");
    refuse("record=a,strict=on", "'strict' only goes with 'replay'");
}

static void wrong_values_are_refused_with_what_is_allowed(void **state)
{
    (void)state;
    refuse("record=a,start=now", "allowed are 'boot' and 'manual'");
    refuse("record=a,final-ram=yes", "allowed are 'on' and 'off'");
    refuse("replay=a,exit=1", "allowed are 'on' and 'off'");
    refuse("replay=a,exit=", "allowed are 'on' and 'off'");
}

static void random_arguments_never_crash(void **state)
{
    static const char *const parts[] = {
        "record", "replay", "start", "ring", "final-ram", "exit", "progress", "strict", "=", ",",
        ",,", "on",
        "noise", "all", "+",
        "boot", "2M", "x", "", "\xff", "%s%n",
    };
    uint64_t random = 6;

    (void)state;
    for (unsigned i = 0; i < 100000; i++) {
        GString *s = g_string_new(NULL);
        GError *error = NULL;
        KrrOptions *o;

        for (unsigned n = random_next(&random) % 12; n; n--) {
            g_string_append(s, parts[random_next(&random) % G_N_ELEMENTS(parts)]);
        }
        o = krr_options_parse(s->str, &error);
        assert_true((o == NULL) == (error != NULL));
        assert_true(!o || (o->mode == KRR_MODE_NONE ? o->noise != 0 : *o->path != 0));
        g_clear_error(&error);
        krr_options_free(o);
        g_string_free(s, TRUE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(recording_has_defaults),
        cmocka_unit_test(recording_takes_all_its_options_in_any_order),
        cmocka_unit_test(replay_takes_its_options),
        cmocka_unit_test(doubled_comma_is_part_of_the_file_name),
        cmocka_unit_test(ring_sizes_have_units),
        cmocka_unit_test(bad_ring_sizes_are_refused_with_the_range),
        cmocka_unit_test(missing_mode_is_refused),
        cmocka_unit_test(noise_is_parsed),
        cmocka_unit_test(missing_values_are_refused),
        cmocka_unit_test(unknown_options_are_named),
        cmocka_unit_test(conflicts_are_refused),
        cmocka_unit_test(wrong_values_are_refused_with_what_is_allowed),
        cmocka_unit_test(random_arguments_never_crash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
