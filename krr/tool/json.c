/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>

#include "json.h"

void json_init(Json *j)
{
    *j = (Json) { .text = g_string_new(NULL), .first = true };
}

char *json_finish(Json *j)
{
    g_string_append_c(j->text, '\n');
    return g_string_free(j->text, FALSE);
}

static void new_line(Json *j)
{
    g_string_append_c(j->text, '\n');
    for (unsigned i = 0; i < j->depth; i++) {
        g_string_append(j->text, "  ");
    }
}

static void add_character(Json *j, gunichar c)
{
    switch (c) {
    case '"':
        g_string_append(j->text, "\\\"");
        break;
    case '\\':
        g_string_append(j->text, "\\\\");
        break;
    case '\n':
        g_string_append(j->text, "\\n");
        break;
    case '\t':
        g_string_append(j->text, "\\t");
        break;
    default:
        if (c < 0x20 || c == 0x7f) {
            g_string_append_printf(j->text, "\\u%04x", c);
        } else {
            g_string_append_unichar(j->text, c);
        }
    }
}

static void add_quoted(Json *j, const char *value)
{
    char *valid = g_utf8_make_valid(value, -1);

    g_string_append_c(j->text, '"');
    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        add_character(j, g_utf8_get_char(p));
    }
    g_string_append_c(j->text, '"');
    g_free(valid);
}

/* Comma, indentation and key of the value that follows. */
static void begin(Json *j, const char *key)
{
    if (!j->first) {
        g_string_append_c(j->text, ',');
    }
    if (j->depth) {
        new_line(j);
    }
    if (key) {
        add_quoted(j, key);
        g_string_append(j->text, ": ");
    }
    j->first = false;
}

static void json_open(Json *j, const char *key, char bracket)
{
    begin(j, key);
    g_string_append_c(j->text, bracket);
    j->depth++;
    j->first = true;
}

static void json_close(Json *j, char bracket)
{
    j->depth--;
    if (!j->first) {
        new_line(j);
    }
    g_string_append_c(j->text, bracket);
    j->first = false;
}

void json_open_object(Json *j, const char *key)
{
    json_open(j, key, '{');
}

void json_close_object(Json *j)
{
    json_close(j, '}');
}

void json_open_array(Json *j, const char *key)
{
    json_open(j, key, '[');
}

void json_close_array(Json *j)
{
    json_close(j, ']');
}

void json_string(Json *j, const char *key, const char *value)
{
    begin(j, key);
    if (value) {
        add_quoted(j, value);
    } else {
        g_string_append(j->text, "null");
    }
}

void json_uint(Json *j, const char *key, uint64_t value)
{
    begin(j, key);
    g_string_append_printf(j->text, "%" PRIu64, value);
}

void json_known(Json *j, const char *key, bool known, uint64_t value)
{
    if (known) {
        json_uint(j, key, value);
    } else {
        json_string(j, key, NULL);
    }
}

void json_hex(Json *j, const char *key, uint64_t value)
{
    begin(j, key);
    g_string_append_printf(j->text, "\"0x%" PRIx64 "\"", value);
}

void json_bool(Json *j, const char *key, bool value)
{
    begin(j, key);
    g_string_append(j->text, value ? "true" : "false");
}
