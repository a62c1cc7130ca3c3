/* SPDX-License-Identifier: GPL-2.0-or-later */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "codec.h"
#include "error.h"
#include "index.h"
#include "kinds.h"
#include "reader.h"

/* A place between two chunks. */
typedef struct Walk {
    uint64_t offset;            /* of the next chunk */
    uint32_t sequence;          /* that it must have */
    uint64_t record;            /* that it must start with */
    uint16_t type;              /* of the chunk before it: types only ascend */
    bool anywhere;              /* the three above are not known yet */
} Walk;

/* Contents of a chunk of events. */
typedef struct Block {
    uint8_t *data;
    size_t capacity;
    size_t length;
} Block;

struct KrrReader {
    char *path;
    int fd;
    uint64_t file_size;
    uint64_t end;               /* chunks lie below: the trailer, or where the damage begins */
    char *damage;
    KrrCodec *codec;
    uint8_t *stored;            /* payload as it is in the file */
    size_t stored_capacity;
    uint8_t *raw;               /* payload of any chunk but events */
    size_t raw_capacity;

    KrrMachine machine;
    KrrCpuState *cpus;
    Walk ram;                   /* first chunk behind the CPU states */
    Walk events;                /* first chunk behind the start mark */
    KrrIndex index;
    KrrFooter footer;
    KrrStats stats;
    bool has_stats;
    uint64_t count;

    /* The records: two blocks, so that the previous record stays readable. */
    Walk next;
    Block block[2];
    unsigned current;           /* block that the position is in */
    size_t place;               /* of the position in that block */
    uint64_t position;
    GError *broken;             /* what comes next is damaged; found once, for it may be long */
};

/* ---- reading the file ---- */

static bool damaged(KrrReader *r, uint64_t offset, const char *what, GError **errp)
{
    g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT, "%s: damaged at byte %" PRIu64 ": %s", r->path,
                offset, what);
    return false;
}

static bool read_at(KrrReader *r, uint64_t offset, void *data, size_t length, GError **errp)
{
    char *p = data;

    while (length) {
        ssize_t done = pread(r->fd, p, length, offset);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            g_set_error(errp, KRR_ERROR, KRR_ERROR_IO, "%s: cannot read at byte %" PRIu64 ": %s",
                        r->path, offset, g_strerror(errno));
            return false;
        }
        if (done == 0) {
            return damaged(r, offset, "the file ends here, in the middle of a part", errp);
        }
        p += done;
        offset += done;
        length -= done;
    }
    return true;
}

static void reserve(uint8_t **buffer, size_t *capacity, size_t length)
{
    if (*capacity < length) {
        g_free(*buffer);
        *buffer = g_malloc(length);
        *capacity = length;
    }
}

/* ---- chunks ---- */

static const char *check_order(const Walk *walk, const KrrChunkHeader *header)
{
    if (header->record_count && header->type != KRR_CHUNK_EVENTS) {
        return "records in a chunk of another type";
    }
    if (walk->anywhere) {
        return NULL;
    }
    if (header->sequence != walk->sequence) {
        return "a chunk is missing or in the wrong place";
    }
    if (header->first_record != walk->record) {
        return "records are missing or in the wrong place";
    }
    if (header->type < KRR_CHUNK_TYPES && header->type < walk->type) {
        return "chunks are in the wrong order";
    }
    return NULL;
}

/* Reads the header of the chunk at @walk, and leaves @walk there. */
static bool read_header(KrrReader *r, const Walk *walk, KrrChunkHeader *header, GError **errp)
{
    const char *what;

    if (walk->offset > r->end || r->end - walk->offset < sizeof(*header)) {
        return damaged(r, walk->offset, "the file ends here, in the middle of a part", errp);
    }
    if (!read_at(r, walk->offset, header, sizeof(*header), errp)) {
        return false;
    }
    what = krr_chunk_check(header);
    if (!what) {
        what = check_order(walk, header);
    }
    if (!what && header->stored_length > r->end - walk->offset - sizeof(*header)) {
        what = "the file ends in the middle of this chunk";
    }
    if (what) {
        return damaged(r, walk->offset, what, errp);
    }
    if (!krr_chunk_known(header->type) && !(header->flags & KRR_CHUNK_OPTIONAL)) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_VERSION,
                    "%s: byte %" PRIu64 ": %s is not known to this version of KRR; use a newer one",
                    r->path, walk->offset, krr_chunk_name(header->type));
        return false;
    }
    return true;
}

/* Goes behind the chunk with @header. */
static void step(Walk *walk, const KrrChunkHeader *header)
{
    walk->offset += sizeof(*header) + header->stored_length;
    walk->sequence = header->sequence + 1;
    walk->record = header->first_record + header->record_count;
    if (krr_chunk_known(header->type)) {
        walk->type = header->type;
    }
    walk->anywhere = false;
}

static bool read_stored(KrrReader *r, const Walk *walk, const KrrChunkHeader *header, GError **errp)
{
    reserve(&r->stored, &r->stored_capacity, header->stored_length);
    return read_at(r, walk->offset + sizeof(*header), r->stored, header->stored_length, errp);
}

static bool read_payload(KrrReader *r, const Walk *walk, const KrrChunkHeader *header,
                         uint8_t *raw, GError **errp)
{
    const char *what;

    if (!read_stored(r, walk, header, errp)) {
        return false;
    }
    what = krr_codec_decode(r->codec, header, r->stored, raw);
    return what ? damaged(r, walk->offset, what, errp) : true;
}

/* Into r->raw. */
static bool read_contents(KrrReader *r, const Walk *walk, const KrrChunkHeader *header,
                          GError **errp)
{
    reserve(&r->raw, &r->raw_capacity, header->raw_length);
    return read_payload(r, walk, header, r->raw, errp);
}

/* A chunk that holds one structure. */
static bool read_struct(KrrReader *r, const Walk *walk, const KrrChunkHeader *header, void *to,
                        size_t size, GError **errp)
{
    if (header->raw_length != size) {
        return damaged(r, walk->offset, "contents have a wrong length", errp);
    }
    return read_payload(r, walk, header, to, errp);
}

/* ---- opening: header and snapshot ---- */

static bool open_file(KrrReader *r, GError **errp)
{
    struct stat st;

    r->fd = open(r->path, O_RDONLY | O_CLOEXEC);
    if (r->fd < 0 || fstat(r->fd, &st) < 0) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_IO, "%s: cannot open the trace: %s", r->path,
                    g_strerror(errno));
        return false;
    }
    if (!S_ISREG(st.st_mode)) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_IO, "%s: is not a regular file", r->path);
        return false;
    }
    r->file_size = r->end = st.st_size;
    return true;
}

static bool not_a_trace(KrrReader *r, GError **errp)
{
    g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT, "%s: is not a KRR trace", r->path);
    return false;
}

static bool read_file_header(KrrReader *r, Walk *walk, GError **errp)
{
    KrrFileHeader header;

    if (r->file_size < sizeof(header)) {
        char magic[sizeof(header.magic)] = { 0 };

        if (r->file_size == 0) {
            g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT,
                        "%s: is empty; recording has not begun or was cut off at once", r->path);
            return false;
        }
        if (!read_at(r, 0, magic, MIN(r->file_size, sizeof(magic)), errp)) {
            return false;
        }
        return strncmp(magic, KRR_FILE_MAGIC, MIN(r->file_size, sizeof(magic)))
               ? not_a_trace(r, errp) : damaged(r, r->file_size, "the file header is cut off", errp);
    }
    if (!read_at(r, 0, &header, sizeof(header), errp)) {
        return false;
    }
    if (memcmp(header.magic, KRR_FILE_MAGIC, sizeof(header.magic))) {
        return not_a_trace(r, errp);
    }
    /* The version stands where it is in all versions; the rest may change. */
    if (header.version > KRR_FORMAT_VERSION) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_VERSION,
                    "%s: has trace format version %" PRIu32 ", this program reads up to %d; use a "
                    "newer KRR", r->path, header.version, KRR_FORMAT_VERSION);
        return false;
    }
    if (!krr_sealed(&header, sizeof(header)) || header.version == 0 ||
        header.size != sizeof(header)) {
        return damaged(r, 0, "checksum of the file header is wrong", errp);
    }
    *walk = (Walk) { .offset = sizeof(header) };
    return true;
}

static bool read_machine(KrrReader *r, Walk *walk, GError **errp)
{
    KrrChunkHeader header;
    const char *what;

    if (!read_header(r, walk, &header, errp)) {
        return false;
    }
    if (header.type != KRR_CHUNK_MACHINE) {
        return damaged(r, walk->offset, "the machine description is missing", errp);
    }
    if (!read_struct(r, walk, &header, &r->machine, sizeof(r->machine), errp)) {
        return false;
    }
    what = krr_machine_check(&r->machine);
    if (what) {
        return damaged(r, walk->offset, what, errp);
    }
    if (r->machine.abi_version != KRR_ABI_VERSION) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_VERSION,
                    "%s: was recorded with guest ABI version %" PRIu32 ", this program knows %d",
                    r->path, r->machine.abi_version, KRR_ABI_VERSION);
        return false;
    }
    step(walk, &header);
    return true;
}

static bool read_cpu(KrrReader *r, const Walk *walk, const KrrChunkHeader *header, uint64_t *seen,
                     GError **errp)
{
    uint32_t vcpu = header->argument;
    const char *what;

    if (vcpu >= r->machine.vcpus || (*seen >> vcpu & 1)) {
        return damaged(r, walk->offset, "state of a vCPU that does not exist or is there twice",
                       errp);
    }
    *seen |= 1ull << vcpu;
    if (!read_struct(r, walk, header, &r->cpus[vcpu], sizeof(r->cpus[vcpu]), errp)) {
        return false;
    }
    what = krr_cpu_check(&r->cpus[vcpu]);
    return what ? damaged(r, walk->offset, what, errp) : true;
}

/* Reads the CPU states and goes over the memory to the start mark. */
static bool read_snapshot(KrrReader *r, Walk *walk, GError **errp)
{
    uint64_t seen = 0, all = ~0ull >> (64 - r->machine.vcpus);
    KrrChunkHeader header;

    r->cpus = g_new0(KrrCpuState, r->machine.vcpus);
    r->ram = *walk;
    do {
        if (!read_header(r, walk, &header, errp)) {
            return false;
        }
        if (header.type == KRR_CHUNK_CPU) {
            if (!read_cpu(r, walk, &header, &seen, errp)) {
                return false;
            }
        } else if (header.type == KRR_CHUNK_MACHINE) {
            return damaged(r, walk->offset, "a second machine description", errp);
        } else if (header.type > KRR_CHUNK_START && krr_chunk_known(header.type)) {
            return damaged(r, walk->offset, "the end of the snapshot is missing", errp);
        }
        step(walk, &header);
        if (header.type == KRR_CHUNK_CPU) {
            r->ram = *walk;
        }
    } while (header.type != KRR_CHUNK_START);
    if (seen != all) {
        return damaged(r, walk->offset, "the state of a vCPU is missing", errp);
    }
    r->events = *walk;
    return true;
}

static bool read_front(KrrReader *r, GError **errp)
{
    Walk walk;

    if (!read_file_header(r, &walk, errp)) {
        return false;
    }
    return read_machine(r, &walk, errp) && read_snapshot(r, &walk, errp);
}

/* ---- opening: the end ---- */

/* Reads the structure in the only chunk of @type, found by the index. */
static bool read_section(KrrReader *r, KrrChunkType type, void *to, size_t size, GError **errp)
{
    Walk walk = { .offset = r->index.header.section[type], .anywhere = true };
    KrrChunkHeader header;

    if (!walk.offset) {
        return damaged(r, r->end, "footer or statistics are missing", errp);
    }
    if (!read_header(r, &walk, &header, errp)) {
        return false;
    }
    if (header.type != type) {
        return damaged(r, walk.offset, "the index points to a wrong chunk", errp);
    }
    return read_struct(r, &walk, &header, to, size, errp);
}

static bool unfinished(KrrReader *r, GError **errp)
{
    g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT, "%s: the recording was not finished", r->path);
    return false;
}

static bool read_trailer(KrrReader *r, KrrTrailer *trailer, GError **errp)
{
    uint64_t offset = r->file_size - sizeof(*trailer);

    if (r->file_size < r->events.offset + sizeof(*trailer)) {
        return unfinished(r, errp);
    }
    if (!read_at(r, offset, trailer, sizeof(*trailer), errp)) {
        return false;
    }
    if (memcmp(trailer->magic, KRR_TRAILER_MAGIC, sizeof(trailer->magic))) {
        return unfinished(r, errp);
    }
    if (!krr_sealed(trailer, sizeof(*trailer)) || trailer->file_size != r->file_size ||
        trailer->index_offset < r->events.offset || trailer->index_offset >= offset) {
        return damaged(r, offset, "the trailer is wrong", errp);
    }
    return true;
}

static bool read_index(KrrReader *r, uint64_t offset, GError **errp)
{
    Walk walk = { .offset = offset, .anywhere = true };
    KrrChunkHeader header;
    const char *what;

    if (!read_header(r, &walk, &header, errp)) {
        return false;
    }
    if (header.type != KRR_CHUNK_INDEX) {
        return damaged(r, offset, "the trailer points to a wrong chunk", errp);
    }
    if (!read_contents(r, &walk, &header, errp)) {
        return false;
    }
    what = krr_index_load(&r->index, r->raw, header.raw_length, offset);
    return what ? damaged(r, offset, what, errp) : true;
}

/* True for a trace that was finished and whose end is as it should be. */
static bool read_end(KrrReader *r, GError **errp)
{
    KrrTrailer trailer;

    if (!read_trailer(r, &trailer, errp) ||
        !read_index(r, trailer.index_offset, errp) ||
        !read_section(r, KRR_CHUNK_STATISTICS, &r->stats, sizeof(r->stats), errp) ||
        !read_section(r, KRR_CHUNK_FOOTER, &r->footer, sizeof(r->footer), errp)) {
        return false;
    }
    r->footer.text[sizeof(r->footer.text) - 1] = 0;
    r->has_stats = true;
    r->count = r->footer.records;
    r->end = r->file_size - sizeof(trailer);
    return true;
}

/* ---- opening: a trace that was not finished ---- */

/* Goes over whole chunks with good checksums; fails at the first that is not. */
static bool scan_chunks(KrrReader *r, Walk *walk, GError **errp)
{
    KrrChunkHeader header;

    while (walk->offset < r->end) {
        if (!read_header(r, walk, &header, errp) || !read_stored(r, walk, &header, errp)) {
            return false;
        }
        if (krr_crc(r->stored, header.stored_length) != header.payload_crc) {
            return damaged(r, walk->offset, "checksum of the contents is wrong", errp);
        }
        krr_index_add(&r->index, header.type, walk->offset, header.first_record);
        step(walk, &header);
    }
    return true;
}

/*
 * Finds what is good of a trace without a good end: @error tells what is wrong
 * there. Takes the footer if it is there (then only index or trailer are bad).
 */
static void scan(KrrReader *r, const GError *error)
{
    Walk walk = r->events;
    GError *scan_error = NULL;

    krr_index_init(&r->index);
    memset(&r->footer, 0, sizeof(r->footer));
    scan_chunks(r, &walk, &scan_error);
    r->damage = g_strdup_printf("%s%s%s; good are the first %" PRIu64 " bytes, %" PRIu64 " records",
                                error->message, scan_error ? "; " : "",
                                scan_error ? scan_error->message : "", walk.offset, walk.record);
    g_clear_error(&scan_error);
    r->end = walk.offset;
    r->count = walk.record;
    if (!read_section(r, KRR_CHUNK_FOOTER, &r->footer, sizeof(r->footer), NULL)) {
        r->footer = (KrrFooter) { .reason = KRR_END_QEMU_EXIT };
    }
    r->footer.text[sizeof(r->footer.text) - 1] = 0;
    r->has_stats = read_section(r, KRR_CHUNK_STATISTICS, &r->stats, sizeof(r->stats), NULL);
}

static bool load(KrrReader *r, GError **errp)
{
    GError *error = NULL;

    if (!open_file(r, errp)) {
        return false;
    }
    if (!read_front(r, &error)) {
        if (g_error_matches(error, KRR_ERROR, KRR_ERROR_FORMAT)) {
            g_prefix_error(&error, "nothing to replay, the start of the trace is not usable: ");
        }
        g_propagate_error(errp, error);
        return false;
    }
    if (!read_end(r, &error)) {
        if (g_error_matches(error, KRR_ERROR, KRR_ERROR_VERSION)) {
            g_propagate_error(errp, error);
            return false;
        }
        scan(r, error);
        g_error_free(error);
    }
    r->next = r->events;
    return true;
}

KrrReader *krr_reader_open(const char *path, GError **errp)
{
    KrrReader *r = g_new0(KrrReader, 1);

    r->path = g_strdup(path);
    r->fd = -1;
    r->codec = krr_codec_new();
    krr_index_init(&r->index);
    if (!load(r, errp)) {
        krr_reader_free(r);
        return NULL;
    }
    return r;
}

void krr_reader_free(KrrReader *r)
{
    if (!r) {
        return;
    }
    if (r->fd >= 0) {
        close(r->fd);
    }
    krr_codec_free(r->codec);
    g_free(r->block[0].data);
    g_free(r->block[1].data);
    g_free(r->stored);
    g_free(r->raw);
    g_clear_error(&r->broken);
    g_free(r->cpus);
    g_free(r->damage);
    g_free(r->path);
    g_free(r);
}

/* ---- memory ---- */

static const char *check_ram(const uint8_t *raw, uint32_t length)
{
    const uint64_t limit = 1ull << 52;
    const KrrRamHeader *header = (const void *)raw;
    const KrrRamRun *run = (const void *)(raw + sizeof(*header));
    uint64_t pages = 0;

    if (length < sizeof(*header) ||
        header->runs > (length - sizeof(*header)) / sizeof(*run)) {
        return "table of memory is cut off";
    }
    for (uint32_t i = 0; i < header->runs; i++) {
        if (!run[i].pages || run[i].address % KRR_PAGE ||
            run[i].address > limit - (uint64_t)run[i].pages * KRR_PAGE) {
            return "table of memory has an impossible address";
        }
        pages += run[i].pages;
    }
    if (pages != header->pages ||
        length != sizeof(*header) + header->runs * sizeof(*run) + pages * KRR_PAGE) {
        return "table of memory does not fit its pages";
    }
    return NULL;
}

static bool read_ram(KrrReader *r, const Walk *walk, const KrrChunkHeader *chunk, KrrRamFn fn,
                     void *opaque, GError **errp)
{
    const KrrRamHeader *header;
    const KrrRamRun *run;
    const uint8_t *page;
    const char *what;

    if (!read_contents(r, walk, chunk, errp)) {
        return false;
    }
    what = check_ram(r->raw, chunk->raw_length);
    if (what) {
        return damaged(r, walk->offset, what, errp);
    }
    header = (const void *)r->raw;
    run = (const void *)(r->raw + sizeof(*header));
    page = (const void *)(run + header->runs);
    for (uint32_t i = 0; i < header->runs; i++) {
        size_t size = (size_t)run[i].pages * KRR_PAGE;

        if (!fn(run[i].address, page, size, opaque, errp)) {
            return false;
        }
        page += size;
    }
    return true;
}

bool krr_reader_has_final_ram(const KrrReader *r)
{
    return !r->damage && r->index.header.section[KRR_CHUNK_FINAL_RAM];
}

bool krr_reader_ram(KrrReader *r, bool final, KrrRamFn fn, void *opaque, GError **errp)
{
    KrrChunkType type = final ? KRR_CHUNK_FINAL_RAM : KRR_CHUNK_RAM;
    Walk walk = r->ram;
    KrrChunkHeader header;

    if (final && !krr_reader_has_final_ram(r)) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT, "%s: has no memory of the recording's end; "
                    "record with final-ram=on", r->path);
        return false;
    }
    if (final) {
        walk = (Walk) { .offset = r->index.header.section[type], .anywhere = true };
    }
    while (walk.offset < r->end) {
        if (!read_header(r, &walk, &header, errp)) {
            return false;
        }
        if (krr_chunk_known(header.type) && header.type > type) {
            break;
        }
        if (header.type == type && !read_ram(r, &walk, &header, fn, opaque, errp)) {
            return false;
        }
        step(&walk, &header);
    }
    return true;
}

/* ---- records ---- */

static bool check_records(KrrReader *r, const Walk *walk, const KrrChunkHeader *header,
                          const Block *block, GError **errp)
{
    size_t place = 0;
    uint32_t count = 0;

    while (place < block->length) {
        const struct krr_record *record = (const void *)(block->data + place);
        const char *what = krr_record_check(record, block->length - place, r->machine.vcpus);

        if (what) {
            g_set_error(errp, KRR_ERROR, KRR_ERROR_FORMAT, "%s: damaged at byte %" PRIu64
                        ", record %" PRIu64 ": %s", r->path, walk->offset,
                        header->first_record + count, what);
            return false;
        }
        place += record->size;
        count++;
    }
    return count && count == header->record_count ? true :
           damaged(r, walk->offset, "chunk has another number of records than it says", errp);
}

/* Reads the next chunk of events into the block that is not current. Returns
 * false at the end of the events too, then without an error. */
static bool load_block(KrrReader *r, GError **errp)
{
    Block *block = &r->block[!r->current];
    KrrChunkHeader header;

    for (;;) {
        if (r->next.offset >= r->end) {
            break;
        }
        if (!read_header(r, &r->next, &header, errp)) {
            return false;
        }
        if (header.type == KRR_CHUNK_EVENTS) {
            reserve(&block->data, &block->capacity, header.raw_length);
            block->length = header.raw_length;
            if (!read_payload(r, &r->next, &header, block->data, errp) ||
                !check_records(r, &r->next, &header, block, errp)) {
                block->length = 0;
                return false;
            }
            step(&r->next, &header);
            r->current = !r->current;
            r->place = 0;
            return true;
        }
        if (krr_chunk_known(header.type)) {
            break;
        }
        step(&r->next, &header);
    }
    return r->position == r->count ? false :
           damaged(r, r->next.offset, "the number of records is not what the footer says", errp);
}

const struct krr_record *krr_reader_peek(KrrReader *r, GError **errp)
{
    if (r->place < r->block[r->current].length || (!r->broken && load_block(r, &r->broken))) {
        return (const void *)(r->block[r->current].data + r->place);
    }
    if (r->broken) {
        g_propagate_error(errp, g_error_copy(r->broken));
    }
    return NULL;
}

void krr_reader_next(KrrReader *r)
{
    const struct krr_record *record = krr_reader_peek(r, NULL);

    if (record) {
        r->place += record->size;
        r->position++;
    }
}

uint64_t krr_reader_position(const KrrReader *r)
{
    return r->position;
}

/* Goes over chunk headers from an indexed chunk to the one with record @number. */
static bool seek_chunk(KrrReader *r, uint64_t number, Walk *walk, GError **errp)
{
    KrrChunkHeader header;

    for (;;) {
        if (!read_header(r, walk, &header, errp)) {
            return false;
        }
        if (header.type == KRR_CHUNK_EVENTS) {
            if (number < header.first_record) {
                return damaged(r, walk->offset, "the index points to a wrong chunk", errp);
            }
            if (number - header.first_record < header.record_count) {
                walk->record = header.first_record;
                return true;
            }
        } else if (krr_chunk_known(header.type)) {
            return damaged(r, walk->offset, "the number of records is not what the footer says",
                           errp);
        }
        step(walk, &header);
    }
}

bool krr_reader_seek(KrrReader *r, uint64_t number, GError **errp)
{
    Walk walk = { .offset = krr_index_find(&r->index, number), .anywhere = true };

    if (number > r->count) {
        g_set_error(errp, KRR_ERROR, KRR_ERROR_USAGE, "%s: has %" PRIu64 " records, there is no "
                    "record %" PRIu64, r->path, r->count, number);
        return false;
    }
    if (!r->count) {
        return true;
    }
    /* The end is behind the last record. */
    if (!walk.offset || !seek_chunk(r, MIN(number, r->count - 1), &walk, errp)) {
        return walk.offset ? false : damaged(r, r->end, "the index has no events", errp);
    }
    g_clear_error(&r->broken);
    r->next = walk;
    r->position = walk.record;
    r->place = 0;
    r->block[r->current].length = 0;
    while (r->position < number) {
        if (!krr_reader_peek(r, errp)) {
            return false;
        }
        krr_reader_next(r);
    }
    return true;
}

/* ---- what there is to know ---- */

const KrrMachine *krr_reader_machine(const KrrReader *r)
{
    return &r->machine;
}

const KrrCpuState *krr_reader_cpu(const KrrReader *r, uint32_t vcpu)
{
    return vcpu < r->machine.vcpus ? &r->cpus[vcpu] : NULL;
}

bool krr_reader_complete(const KrrReader *r)
{
    return !r->damage;
}

uint32_t krr_reader_end_reason(const KrrReader *r)
{
    return r->footer.reason;
}

uint32_t krr_reader_end_status(const KrrReader *r)
{
    return r->footer.status;
}

const char *krr_reader_end_text(const KrrReader *r)
{
    return r->footer.text;
}

uint64_t krr_reader_count(const KrrReader *r)
{
    return r->count;
}

const KrrStats *krr_reader_stats(const KrrReader *r)
{
    return r->has_stats ? &r->stats : NULL;
}

const char *krr_reader_damage(const KrrReader *r)
{
    return r->damage;
}

const char *krr_reader_path(const KrrReader *r)
{
    return r->path;
}

uint64_t krr_reader_file_size(const KrrReader *r)
{
    return r->file_size;
}

bool krr_reader_chunks(KrrReader *r, bool check, KrrChunkFn fn, void *opaque, GError **errp)
{
    Walk walk = { .offset = sizeof(KrrFileHeader) };
    KrrChunkHeader header;

    while (walk.offset < r->end) {
        KrrChunkInfo info;

        if (!read_header(r, &walk, &header, errp) ||
            (check && !read_contents(r, &walk, &header, errp))) {
            return false;
        }
        info = (KrrChunkInfo) {
            .name = krr_chunk_name(header.type),
            .offset = walk.offset,
            .raw_length = header.raw_length,
            .stored_length = header.stored_length,
            .first_record = header.first_record,
            .record_count = header.record_count,
        };
        if (!fn(&info, opaque, errp)) {
            return false;
        }
        step(&walk, &header);
    }
    return true;
}
