/* Tasks for a fog, and what it replies: the messages of fog/v1 (docs/protocol.md) in CBOR (RFC 8949).
 *
 * C99, for any system and for none: no heap, no globals, no recursion, no input or output. The caller owns every
 * buffer, and what is read points into the payload that it was read from. Nothing that a payload holds does harm.
 */
#ifndef FOG_H
#define FOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define FOG_ID 64 /* characters in an id at the most */

/* ---------------------------------------------------------------- writing
 *
 * fog_out out = {buffer, sizeof buffer, 0};
 * fog_put_task(&out, &(fog_task){.id = "a-1", .name = "mean"}, 1);
 * fog_put_array(&out, 2); fog_put_int(&out, 20); fog_put_double(&out, 21.5);
 * if (fog_fits(&out)) send(out.data, out.size);
 */

typedef struct {
    uint8_t *data;
    size_t room, size; /* size goes on beyond room, so that it tells what room there should have been */
} fog_out;

typedef struct {
    const char *id;    /* 1 to FOG_ID of a-z, 0-9 and -; of this task alone: sent again it is the same task */
    const char *name;  /* what to run */
    uint32_t deadline; /* milliseconds within which the outcome is wanted; 0: none */
    uint32_t keep;     /* milliseconds for which the fog keeps the outcome of a posted task; 0: it is not posted */
} fog_task;

bool fog_fits(const fog_out *out);
void fog_put_task(fog_out *out, const fog_task *task, size_t args); /* so many arguments have to follow */
void fog_put_ask(fog_out *out, const char *id);                     /* what became of it? */
void fog_put_cancel(fog_out *out, const char *id);
void fog_put_body(fog_out *out, size_t args); /* over CoAP, whose options say the rest; they have to follow too */
void fog_put_int(fog_out *out, int64_t number);
void fog_put_double(fog_out *out, double number);
void fog_put_bool(fog_out *out, bool truth);
void fog_put_null(fog_out *out);
void fog_put_text(fog_out *out, const char *text);
void fog_put_bytes(fog_out *out, const void *data, size_t size);
void fog_put_array(fog_out *out, size_t count); /* so many items have to follow */
void fog_put_map(fog_out *out, size_t pairs);   /* so many keys, each with its value after it, have to follow */

/* ---------------------------------------------------------------- reading */

typedef struct {
    const uint8_t *at, *end; /* what is still to be read */
} fog_in;

typedef struct {
    const char *data; /* not ended by a zero */
    size_t size;
} fog_text;

typedef enum { FOG_END, FOG_INT, FOG_DOUBLE, FOG_BOOL, FOG_NULL, FOG_TEXT, FOG_BYTES, FOG_ARRAY, FOG_MAP } fog_kind;

typedef struct {
    fog_kind kind;
    int64_t number; /* of an int and a bool */
    double real;    /* of an int and a double */
    fog_text text;  /* of text and bytes */
    size_t count;   /* of an array its items, of a map its pairs; they are read next. SIZE_MAX: until FOG_END */
} fog_item;

bool fog_read(fog_in *in, fog_item *item); /* false with FOG_END: the end, or nonsense */
bool fog_skip(fog_in *in);                 /* over one item, with all that is in it; false for nonsense */
bool fog_find(fog_in map, const char *key, fog_in *value);
bool fog_is(fog_text text, const char *other);

typedef enum {
    FOG_OTHER, /* a message that this device has no use for */
    FOG_ACCEPTED, FOG_PROGRESS,
    FOG_RESULT, FOG_FAILED, FOG_REFUSED, FOG_EXPIRED, FOG_CANCELLED
} fog_type;

typedef struct {
    fog_type type;
    fog_text id, node;
    fog_text error, message;  /* of FOG_FAILED; a message may come with FOG_REFUSED and FOG_EXPIRED too */
    fog_text reason, instead; /* of FOG_REFUSED */
    uint32_t retry_after;     /* milliseconds; 0: not said */
    double fraction;          /* of FOG_PROGRESS */
    fog_in value;             /* of FOG_RESULT: what the task returned */
} fog_reply;

typedef struct {
    fog_in in;
    size_t left;
} fog_replies;

/* A payload holds one reply or several: fog_replies r = fog_open(data, size); while (fog_next(&r, &reply)) ... */
fog_replies fog_open(const void *data, size_t size);
bool fog_next(fog_replies *replies, fog_reply *reply);

#endif
