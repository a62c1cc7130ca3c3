/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "common.h"
#include "krr/tool/json.h"

static void values_have_their_json_form(void **state)
{
    char *text;
    Json j;

    (void)state;
    json_init(&j);
    json_open_object(&j, NULL);
    json_string(&j, "s", "x");
    json_string(&j, "none", NULL);
    json_uint(&j, "n", G_MAXUINT64);
    json_hex(&j, "a", 0xffffffff81000000ull);
    json_bool(&j, "t", true);
    json_bool(&j, "f", false);
    json_close_object(&j);
    text = json_finish(&j);
    assert_string_equal(text, "{\n  \"s\": \"x\",\n  \"none\": null,\n"
                        "  \"n\": 18446744073709551615,\n  \"a\": \"0xffffffff81000000\",\n"
                        "  \"t\": true,\n  \"f\": false\n}\n");
    g_free(text);
}

static void objects_and_arrays_nest(void **state)
{
    char *text;
    Json j;

    (void)state;
    json_init(&j);
    json_open_object(&j, NULL);
    json_open_array(&j, "list");
    json_uint(&j, NULL, 1);
    json_open_object(&j, NULL);
    json_uint(&j, "x", 2);
    json_close_object(&j);
    json_close_array(&j);
    json_open_array(&j, "empty");
    json_close_array(&j);
    json_open_object(&j, "nothing");
    json_close_object(&j);
    json_close_object(&j);
    text = json_finish(&j);
    assert_string_equal(text, "{\n  \"list\": [\n    1,\n    {\n      \"x\": 2\n    }\n  ],\n"
                        "  \"empty\": [],\n  \"nothing\": {}\n}\n");
    g_free(text);
}

static void assert_escaped(const char *value, const char *expected)
{
    char *text;
    Json j;

    json_init(&j);
    json_string(&j, NULL, value);
    text = json_finish(&j);
    assert_string_equal(text, expected);
    g_free(text);
}

static void special_characters_are_escaped(void **state)
{
    (void)state;
    assert_escaped("a\"b\\c", "\"a\\\"b\\\\c\"\n");
    assert_escaped("\n\t\r\x1b\x01\x7f", "\"\\n\\t\\u000d\\u001b\\u0001\\u007f\"\n");
    assert_escaped("", "\"\"\n");
    assert_escaped("gr\xc3\xbc\xc3\x9f", "\"gr\xc3\xbc\xc3\x9f\"\n");
}

static void bytes_that_are_not_utf8_are_replaced(void **state)
{
    (void)state;
    assert_escaped("a\xff" "b", "\"a\xef\xbf\xbd" "b\"\n");
    assert_escaped("\xc3", "\"\xef\xbf\xbd\"\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_have_their_json_form),
        cmocka_unit_test(objects_and_arrays_nest),
        cmocka_unit_test(special_characters_are_escaped),
        cmocka_unit_test(bytes_that_are_not_utf8_are_replaced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
