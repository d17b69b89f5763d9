/* Throws nonsense at the codec: make fuzz. What is read has to stay inside the payload, what is written in its room. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fog_call.h"

static void inside(const uint8_t *data, size_t size, const void *at, size_t length)
{
    if (at)
        assert((const uint8_t *)at >= data && length <= size && (const uint8_t *)at + length <= data + size);
}

static void look(const uint8_t *data, size_t size, fog_in in)
{
    fog_item item;
    fog_in found;
    inside(data, size, in.at, (size_t)(in.end - in.at));
    if (fog_find(in, "fan", &found))
        inside(data, size, found.at, (size_t)(found.end - found.at));
    while (in.at < in.end) {
        const uint8_t *before = in.at;
        fog_in over = in;
        if (fog_skip(&over))
            inside(data, size, over.at, 0);
        if (fog_read(&in, &item) && (item.kind == FOG_TEXT || item.kind == FOG_BYTES))
            inside(data, size, item.text.data, item.text.size);
        assert(in.at > before);
    }
}

static void read_all(const uint8_t *data, size_t size)
{
    fog_call call;
    fog_reply reply;
    fog_replies replies = fog_open(data, size);
    fog_begin(&call, "k1-1", size ? data[0] : 0U, 1000);
    for (size_t number = 0; fog_next(&replies, &reply); number++) {
        assert(number <= size);
        const fog_text texts[] = {reply.id, reply.node, reply.error, reply.message, reply.reason, reply.instead};
        for (size_t at = 0; at < sizeof texts / sizeof *texts; at++)
            inside(data, size, texts[at].data, texts[at].size);
        if (reply.value.at)
            look(data, size, reply.value);
        fog_hear(&call, &reply, 100);
        assert(strlen(call.node) <= FOG_ID && fog_rest(&call, 100) <= 1000);
    }
    look(data, size, (fog_in){data, data + size});
}

/* The input says what to write: it fits, and reads as it was written, or it does not fit and is not half there. */
static void write_all(const uint8_t *data, size_t size)
{
    size_t room = size > 1 ? data[1] : 0;
    fog_out out = {malloc(room), room, 0};
    fog_put_task(&out, &(fog_task){.id = "k1-1", .name = "mean", .deadline = data[0]}, size);
    for (size_t at = 0; at < size; at++) {
        if (data[at] % 4 == 0)
            fog_put_int(&out, (int64_t)((uint64_t)data[at] << data[at] % 57) - 9);
        else if (data[at] % 4 == 1)
            fog_put_double(&out, data[at] / 3.0);
        else if (data[at] % 4 == 2)
            fog_put_bytes(&out, data + at, size - at < 9 ? size - at : 9);
        else
            fog_put_text(&out, "text");
    }
    if (fog_fits(&out)) {
        fog_in in = {out.data, out.data + out.size};
        assert(fog_skip(&in));
        assert(in.at == in.end);
    }
    free(out.data);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    read_all(data, size);
    if (size)
        write_all(data, size);
    return 0;
}
