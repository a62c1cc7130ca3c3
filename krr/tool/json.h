/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Writes one JSON value into a string; takes care of commas, indentation and escapes. */
#ifndef KRR_TOOL_JSON_H
#define KRR_TOOL_JSON_H

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

typedef struct Json {
    GString *text;
    unsigned depth;
    bool first;             /* nothing in the innermost object or array yet */
} Json;

void json_init(Json *j);
/* The text, with a newline at its end; the caller frees it (g_free). */
char *json_finish(Json *j);

/* @key is NULL in arrays and at the top. */
void json_open_object(Json *j, const char *key);
void json_close_object(Json *j);
void json_open_array(Json *j, const char *key);
void json_close_array(Json *j);

/* NULL becomes null; bytes that are not UTF-8 become U+FFFD. */
void json_string(Json *j, const char *key, const char *value);
void json_uint(Json *j, const char *key, uint64_t value);
/* The number, or null when it is not known. */
void json_known(Json *j, const char *key, bool known, uint64_t value);
/* An address: a string "0x..", because JSON's numbers lose bits above 2^53. */
void json_hex(Json *j, const char *key, uint64_t value);
void json_bool(Json *j, const char *key, bool value);

#endif
