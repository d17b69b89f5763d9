/* See fog.h. */
#include "fog.h"

#include <math.h>
#include <string.h>

#define DEPTH 40           /* arrays, maps and tags within each other; the fog takes 32 in a value */
#define OPEN SIZE_MAX      /* the length is not said; a break ends it */
#define BREAK 0xFF

enum { UNSIGNED, NEGATIVE, BYTES, TEXT, ARRAY, MAP, TAG, SIMPLE };

/* ---------------------------------------------------------------- writing */

static void put(fog_out *out, const void *data, size_t size)
{
    if (size && out->size < out->room && size <= out->room - out->size)
        memcpy(out->data + out->size, data, size);
    else if (size)
        out->room = 0; /* what comes later must not fill the gap */
    out->size += size;
}

static void put_number(fog_out *out, uint8_t first, uint64_t number, unsigned size)
{
    uint8_t data[9] = {first};
    for (unsigned at = size; at > 0; at--, number >>= 8)
        data[at] = (uint8_t)number;
    put(out, data, size + 1);
}

static void put_head(fog_out *out, unsigned major, uint64_t number)
{
    unsigned info = number < 24 ? (unsigned)number
                    : number <= UINT8_MAX ? 24 : number <= UINT16_MAX ? 25 : number <= UINT32_MAX ? 26 : 27;
    put_number(out, (uint8_t)(major << 5 | info), number, number < 24 ? 0 : 1U << (info - 24));
}

bool fog_fits(const fog_out *out) { return out->size <= out->room; }
void fog_put_bool(fog_out *out, bool truth) { put_head(out, SIMPLE, truth ? 21 : 20); }
void fog_put_null(fog_out *out) { put_head(out, SIMPLE, 22); }
void fog_put_array(fog_out *out, size_t count) { put_head(out, ARRAY, count); }
void fog_put_map(fog_out *out, size_t pairs) { put_head(out, MAP, pairs); }

void fog_put_int(fog_out *out, int64_t number)
{
    put_head(out, number < 0 ? NEGATIVE : UNSIGNED, number < 0 ? (uint64_t)(-1 - number) : (uint64_t)number);
}

void fog_put_double(fog_out *out, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    put_number(out, SIMPLE << 5 | 27, bits, 8);
}

void fog_put_bytes(fog_out *out, const void *data, size_t size)
{
    put_head(out, BYTES, size);
    put(out, data, size);
}

void fog_put_text(fog_out *out, const char *text)
{
    size_t size = strlen(text);
    put_head(out, TEXT, size);
    put(out, text, size);
}

static void put_pair(fog_out *out, const char *key, const char *text)
{
    fog_put_text(out, key);
    fog_put_text(out, text);
}

static void put_time(fog_out *out, const char *key, uint32_t ms)
{
    if (ms == 0)
        return;
    fog_put_text(out, key);
    fog_put_int(out, ms);
}

static void put_args(fog_out *out, size_t args)
{
    fog_put_text(out, "args");
    fog_put_array(out, args);
}

void fog_put_task(fog_out *out, const fog_task *task, size_t args)
{
    fog_put_map(out, 4U + (task->deadline > 0) + (task->keep > 0));
    put_pair(out, "type", "task");
    put_pair(out, "id", task->id);
    put_pair(out, "name", task->name);
    put_time(out, "deadline", task->deadline);
    put_time(out, "keep", task->keep);
    put_args(out, args);
}

void fog_put_body(fog_out *out, size_t args)
{
    fog_put_map(out, 1);
    put_args(out, args);
}

static void put_word(fog_out *out, const char *type, const char *id)
{
    fog_put_map(out, 2);
    put_pair(out, "type", type);
    put_pair(out, "id", id);
}

void fog_put_ask(fog_out *out, const char *id) { put_word(out, "ask", id); }
void fog_put_cancel(fog_out *out, const char *id) { put_word(out, "cancel", id); }

/* ---------------------------------------------------------------- reading */

typedef struct {
    unsigned major, info;
    uint64_t number;
} head;

static size_t rest(const fog_in *in) { return (size_t)(in->end - in->at); }

static bool read_head(fog_in *in, head *h)
{
    if (rest(in) == 0)
        return false;
    h->major = *in->at >> 5;
    h->info = *in->at++ & 31U;
    h->number = h->info;
    if (h->info < 24)
        return true;
    if (h->info == 31) /* no length, or a break */
        return h->major != UNSIGNED && h->major != NEGATIVE && h->major != TAG;
    if (h->info > 27 || rest(in) < (size_t)1 << (h->info - 24))
        return false;
    h->number = 0;
    for (unsigned left = 1U << (h->info - 24); left > 0; left--)
        h->number = h->number << 8 | *in->at++;
    return true;
}

/* Over the bytes of a text or byte string; in chunks where its length is not said. */
static bool skip_string(fog_in *in, const head *h)
{
    if (h->info != 31) {
        if (h->number > rest(in))
            return false;
        in->at += h->number;
        return true;
    }
    while (rest(in) > 0 && *in->at != BREAK) {
        head chunk;
        if (!read_head(in, &chunk) || chunk.major != h->major || chunk.info == 31 || chunk.number > rest(in))
            return false;
        in->at += chunk.number;
    }
    return rest(in) > 0 && in->at++;
}

/* How many items are in an array, map or tag. False where there cannot be so many. */
static bool count(const fog_in *in, const head *h, size_t *items)
{
    uint64_t number = h->major == TAG ? 1 : h->number;
    *items = h->info == 31 ? OPEN : (size_t)number;
    return h->info == 31 || number <= rest(in) / (h->major == MAP ? 2 : 1);
}

bool fog_skip(fog_in *in)
{
    size_t left[DEPTH] = {1};
    unsigned depth = 0;
    for (;;) {
        while (left[depth] == 0)
            if (depth-- == 0)
                return true;
        head h;
        if (left[depth] == OPEN && rest(in) > 0 && *in->at == BREAK) {
            in->at++;
            left[depth] = 0;
            continue;
        }
        if (!read_head(in, &h) || (h.major == SIMPLE && h.info == 31))
            return false;
        if (left[depth] != OPEN)
            left[depth]--;
        if (h.major == BYTES || h.major == TEXT) {
            if (!skip_string(in, &h))
                return false;
        } else if (h.major == ARRAY || h.major == MAP || h.major == TAG) {
            size_t items;
            if (!count(in, &h, &items) || ++depth == DEPTH)
                return false;
            left[depth] = h.major == MAP && items != OPEN ? items * 2 : items;
        }
    }
}

static double half(unsigned bits)
{
    unsigned power = bits >> 10 & 31U, fraction = bits & 1023U;
    double size = power ? 1024 + fraction : fraction;
    for (unsigned at = power ? power : 1; at < 25; at++)
        size /= 2;
    for (unsigned at = 25; at < power; at++)
        size *= 2;
    if (power == 31)
        size = fraction ? (double)NAN : (double)INFINITY;
    return bits >> 15 ? -size : size;
}

static fog_kind simple(const head *h, fog_item *item)
{
    uint32_t bits = (uint32_t)h->number;
    float single;
    item->number = h->number == 21;
    if (h->info < 25 || h->info == 31)
        return h->info == 31 ? FOG_END : bits == 20 || bits == 21 ? FOG_BOOL : FOG_NULL;
    memcpy(&single, &bits, sizeof single);
    item->real = h->info == 25 ? half(bits) : (double)single;
    if (h->info == 27)
        memcpy(&item->real, &h->number, sizeof item->real);
    return FOG_DOUBLE;
}

static fog_kind integer(const head *h, fog_item *item)
{
    double size = (double)h->number;
    item->real = h->major == NEGATIVE ? -1 - size : size;
    if (h->number > INT64_MAX)
        return FOG_DOUBLE;
    item->number = h->major == NEGATIVE ? -1 - (int64_t)h->number : (int64_t)h->number;
    return FOG_INT;
}

static fog_kind string(fog_in *in, const head *h, fog_item *item)
{
    item->text = (fog_text){(const char *)in->at, (size_t)h->number};
    if (h->info == 31 || !skip_string(in, h)) /* no fog sends text in chunks */
        return FOG_END;
    return h->major == TEXT ? FOG_TEXT : FOG_BYTES;
}

bool fog_read(fog_in *in, fog_item *item)
{
    head h;
    *item = (fog_item){.kind = FOG_END};
    do
        if (!read_head(in, &h)) {
            in->at = in->end;
            return false;
        }
    while (h.major == TAG); /* what is in it is what counts */
    if (h.major == UNSIGNED || h.major == NEGATIVE)
        item->kind = integer(&h, item);
    else if (h.major == BYTES || h.major == TEXT)
        item->kind = string(in, &h, item);
    else if (h.major == SIMPLE)
        item->kind = simple(&h, item);
    else if (count(in, &h, &item->count))
        item->kind = h.major == ARRAY ? FOG_ARRAY : FOG_MAP;
    if (item->kind == FOG_END && h.major != SIMPLE)
        in->at = in->end;
    return item->kind != FOG_END;
}

bool fog_is(fog_text text, const char *other)
{
    return text.size == strlen(other) && memcmp(text.data, other, text.size) == 0;
}

/* The next pair of a map: its key if that is text, and its value. */
static bool next_pair(fog_in *in, size_t *left, fog_text *key, fog_in *value)
{
    fog_item item;
    fog_in at = *in;
    if (*left == 0 || (*left == OPEN && rest(in) > 0 && *in->at == BREAK) || !fog_skip(in))
        return false;
    *key = fog_read(&at, &item) && item.kind == FOG_TEXT ? item.text : (fog_text){"", 0};
    value->at = in->at;
    if (!fog_skip(in))
        return false;
    value->end = in->at;
    *left -= *left != OPEN;
    return true;
}

bool fog_find(fog_in map, const char *key, fog_in *value)
{
    fog_item item;
    fog_text name;
    if (!fog_read(&map, &item) || item.kind != FOG_MAP)
        return false;
    while (next_pair(&map, &item.count, &name, value))
        if (fog_is(name, key))
            return true;
    return false;
}

/* ---------------------------------------------------------------- replies */

static void take_type(fog_reply *reply, fog_text name)
{
    static const char *const names[] = {"",       "accepted", "progress",          "result",
                                        "failed", "refused",  "deadline-exceeded", "cancelled"};
    for (unsigned type = FOG_ACCEPTED; type <= FOG_CANCELLED; type++)
        if (fog_is(name, names[type]))
            reply->type = (fog_type)type;
}

static void take_text(fog_reply *reply, fog_text key, fog_text text)
{
    const struct { const char *key; fog_text *place; } texts[] = {
        {"id", &reply->id}, {"node", &reply->node}, {"error", &reply->error}, {"message", &reply->message},
        {"reason", &reply->reason}, {"instead", &reply->instead},
    };
    if (fog_is(key, "type"))
        take_type(reply, text);
    for (unsigned at = 0; at < sizeof texts / sizeof *texts; at++)
        if (fog_is(key, texts[at].key))
            *texts[at].place = text;
}

static void take(fog_reply *reply, fog_text key, fog_in value)
{
    fog_item item;
    fog_in at = value;
    if (fog_is(key, "value") && !reply->value.at)
        reply->value = value;
    else if (!fog_read(&at, &item))
        return;
    else if (item.kind == FOG_TEXT)
        take_text(reply, key, item.text);
    else if (item.kind == FOG_BYTES && fog_is(key, "body"))
        reply->value = (fog_in){(const uint8_t *)item.text.data, (const uint8_t *)item.text.data + item.text.size};
    else if (item.kind == FOG_INT && fog_is(key, "retry_after") && item.number > 0)
        reply->retry_after = item.number > UINT32_MAX ? UINT32_MAX : (uint32_t)item.number;
    else if ((item.kind == FOG_INT || item.kind == FOG_DOUBLE) && fog_is(key, "fraction"))
        reply->fraction = item.real;
}

fog_replies fog_open(const void *data, size_t size)
{
    fog_replies replies = {.left = 0};
    fog_item item;
    if (size == 0)
        return replies;
    replies = (fog_replies){{data, (const uint8_t *)data + size}, 1};
    fog_in in = replies.in;
    if (fog_read(&in, &item) && item.kind == FOG_ARRAY)
        replies = (fog_replies){in, item.count};
    return replies;
}

bool fog_next(fog_replies *replies, fog_reply *reply)
{
    fog_item item;
    fog_text key;
    fog_in value;
    *reply = (fog_reply){.type = FOG_OTHER};
    if (replies->left == 0 || !fog_read(&replies->in, &item) || item.kind != FOG_MAP) {
        replies->left = 0;
        return false;
    }
    replies->left -= replies->left != OPEN;
    while (next_pair(&replies->in, &item.count, &key, &value))
        take(reply, key, value);
    bool whole = item.count == 0;
    if (item.count == OPEN && rest(&replies->in) > 0 && *replies->in.at == BREAK)
        whole = replies->in.at++;
    if (!whole) /* cut short, or nonsense: what was read of it does not count, nor what follows */
        replies->left = 0;
    return whole;
}
