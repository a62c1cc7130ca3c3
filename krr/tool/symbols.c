/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <inttypes.h>
#include <string.h>

#include "symbols.h"
#include "tool.h"
#include "vmlinux.h"
#include "../error.h"

typedef struct Symbol {
    uint64_t address, size;
    char *name;
} Symbol;

struct Symbols {
    GArray *table;              /* of Symbol, ascending */
    uint64_t text;              /* _text in the file */
    uint64_t offset;
    uint8_t build_id[20];
    bool has_build_id;
};

static void clear_symbol(gpointer data)
{
    g_free(((Symbol *)data)->name);
}

/* At one address the function comes last, behind the labels: it is the one found. */
static gint by_address(gconstpointer a, gconstpointer b)
{
    const Symbol *x = a, *y = b;

    if (x->address != y->address) {
        return x->address < y->address ? -1 : 1;
    }
    return x->size < y->size ? -1 : x->size > y->size;
}

static void add_symbol(Symbols *s, Elf *elf, size_t strings, const GElf_Sym *sym)
{
    unsigned type = GELF_ST_TYPE(sym->st_info);
    const char *name = elf_strptr(elf, strings, sym->st_name);

    if (!name || !*name || sym->st_shndx == SHN_UNDEF || sym->st_shndx == SHN_ABS) {
        return;
    }
    if (!strcmp(name, "_text")) {
        s->text = sym->st_value;
    }
    /* Assembly code has symbols without a type. */
    if (type == STT_FUNC || (type == STT_NOTYPE && sym->st_value >> 63)) {
        g_array_set_size(s->table, s->table->len + 1);
        g_array_index(s->table, Symbol, s->table->len - 1) =
            (Symbol) { sym->st_value, sym->st_size, g_strdup(name) };
    }
}

static void read_symbols(Symbols *s, const VmlinuxSection *section)
{
    const GElf_Shdr *header = &section->header;
    size_t count = header->sh_entsize ? section->data->d_size / header->sh_entsize : 0;
    GElf_Sym sym;

    for (size_t i = 0; i < count && i <= G_MAXINT; i++) {
        if (gelf_getsym(section->data, i, &sym)) {
            add_symbol(s, section->elf, header->sh_link, &sym);
        }
    }
}

static void read_notes(Symbols *s, Elf_Data *data)
{
    size_t offset = 0, name, description;
    GElf_Nhdr note;

    while ((offset = gelf_getnote(data, offset, &note, &name, &description)) > 0) {
        if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 &&
            note.n_descsz == sizeof(s->build_id) &&
            !memcmp((char *)data->d_buf + name, "GNU", 4)) {
            memcpy(s->build_id, (char *)data->d_buf + description, sizeof(s->build_id));
            s->has_build_id = true;
        }
    }
}

static void read_section(void *opaque, const VmlinuxSection *section)
{
    if (section->data && section->header.sh_type == SHT_SYMTAB) {
        read_symbols(opaque, section);
    } else if (section->data && section->header.sh_type == SHT_NOTE) {
        read_notes(opaque, section->data);
    }
}

Symbols *symbols_read(const char *path, GError **errp)
{
    Symbols *s = g_new0(Symbols, 1);
    bool good;

    s->table = g_array_new(FALSE, FALSE, sizeof(Symbol));
    g_array_set_clear_func(s->table, clear_symbol);
    good = vmlinux_sections(path, read_section, s, errp);
    if (good && !s->table->len) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT,
                    "%s: is not a vmlinux file with a symbol table", path);
        good = false;
    }
    if (!good) {
        symbols_free(s);
        return NULL;
    }
    g_array_sort(s->table, by_address);
    return s;
}

bool symbols_fit(const Symbols *s, const KrrMachine *machine)
{
    static const uint8_t unknown[sizeof(machine->build_id)];

    return !s->has_build_id || !memcmp(machine->build_id, unknown, sizeof(unknown)) ||
           !memcmp(machine->build_id, s->build_id, sizeof(unknown));
}

void symbols_place(Symbols *s, const KrrMachine *machine)
{
    if (machine->kernel_text && s->text) {
        s->offset = machine->kernel_text - s->text;
    } else {
        s->offset = 0;
        tool_message("warning: the kernel's place in memory is not known, assuming no KASLR");
    }
}

Symbols *symbols_load(const char *path, const KrrMachine *machine, GError **errp)
{
    Symbols *s = symbols_read(path, errp);

    if (!s) {
        return NULL;
    }
    if (!symbols_fit(s, machine)) {
        tool_message("warning: %s is not the kernel that was recorded (its build id differs); "
                     "names may be wrong", path);
    }
    symbols_place(s, machine);
    return s;
}

void symbols_free(Symbols *s)
{
    if (s) {
        g_array_free(s->table, TRUE);
        g_free(s);
    }
}

uint64_t symbols_offset(const Symbols *s)
{
    return s->offset;
}

char *symbols_name(const Symbols *s, uint64_t address)
{
    uint64_t target = address - s->offset;
    guint low = 0, high = s->table->len;
    const Symbol *symbol;

    while (low < high) {
        guint middle = low + (high - low) / 2;

        if (g_array_index(s->table, Symbol, middle).address <= target) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    /* The last symbol ends somewhere: without a size it covers nothing. */
    if (!low) {
        return NULL;
    }
    symbol = &g_array_index(s->table, Symbol, low - 1);
    if (symbol->size ? target - symbol->address >= symbol->size : low == s->table->len) {
        return NULL;
    }
    return g_strdup_printf("%s+0x%" PRIx64, symbol->name, target - symbol->address);
}

char *symbols_call_site(const Symbols *s, uint64_t address)
{
    char *call = s ? symbols_name(s, address - 1) : NULL, *site, *plus;

    if (!call) {
        return NULL;
    }
    plus = strrchr(call, '+');
    site = g_strdup_printf("%.*s+0x%" PRIx64, (int)(plus - call), call,
                           g_ascii_strtoull(plus + 1, NULL, 16) + 1);
    g_free(call);
    return site;
}
