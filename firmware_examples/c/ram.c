/* How much memory the codec takes: make ram. Each use of it runs on a stack that was painted before, in a thread; what
 * a thread takes that does nothing is taken off. Static memory is told by size, and buffers are the caller's.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fog_call.h"
#include "question.h"

#define STACK 65536
#define PAINT 0xA5
#define PAYLOAD 1024U /* the largest that one block of CoAP holds */

static uint8_t task[256]; /* the buffers of the example clients */
static size_t task_size;
static fog_call call;
static fog_reply reply;
/* [{"type": "refused", "id": "k1-1", "reason": "elsewhere", "instead": "pi-2"}, {"type": "result", "id": "k1-1",
 *  "hops": [{"node": "pi-1", "action": "ran", "ran": 0.25}], "body": {"fan": true, "sleep": 600}}] */
static const uint8_t replies[] =
    "\x82\xa4\x64type\x67refused\x62id\x64k1-1\x66reason\x69\x65lsewhere\x67instead\x64pi-2"
    "\xa4\x64type\x66result\x62id\x64k1-1\x64hops\x81\xa3\x64node\x64pi-1\x66\x61\x63tion\x63ran\x63ran"
    "\xfb\x3f\xd0\0\0\0\0\0\0\x64\x62ody\x4f\xa2\x63\x66\x61n\xf5\x65sleep\x19\x02\x58";

static void *nothing(void *unused) { return unused; }

static void *encode(void *unused)
{
    fog_out out = {task, sizeof task, 0};
    fog_put_task(&out, &(fog_task){.id = "k1-1", .name = QUESTION, .deadline = 10000}, QUESTION_ARGS);
    put_readings(&out);
    task_size = out.size;
    return unused;
}

static void *decode(void *unused)
{
    fog_in found;
    fog_item item;
    fog_replies all = fog_open(replies, sizeof replies - 1);
    fog_begin(&call, "k1-1", 0, 10000);
    while (fog_next(&all, &reply) && !fog_hear(&call, &reply, 1))
        ;
    if (strcmp(call.node, "pi-2") || !fog_find(reply.value, "sleep", &found) || !fog_read(&found, &item)
        || item.number != 600)
        abort();
    return unused;
}

static size_t stack_of(void *(*use)(void *))
{
    pthread_t thread;
    pthread_attr_t attributes;
    size_t clean = 0;
    uint8_t *stack = NULL;
    if (posix_memalign((void **)&stack, 4096, STACK))
        abort();
    memset(stack, PAINT, STACK);
    pthread_attr_init(&attributes);
    if (pthread_attr_setstack(&attributes, stack, STACK) || pthread_create(&thread, &attributes, use, NULL))
        abort();
    pthread_join(thread, NULL);
    while (clean < STACK && stack[clean] == PAINT)
        clean++;
    pthread_attr_destroy(&attributes);
    free(stack);
    return STACK - clean;
}

int main(void)
{
    size_t bare = stack_of(nothing), writing = stack_of(encode) - bare, reading = stack_of(decode) - bare;
    size_t most = writing > reading ? writing : reading, state = sizeof call + sizeof reply;
    printf("stack %zu bytes to encode a task, %zu bytes to decode its replies\n", writing, reading);
    printf("state %zu bytes: a call and a reply\n", state);
    printf("buffers %zu bytes for a task (%zu are used), %u for what is received\n", sizeof task, task_size, PAYLOAD);
    printf("ram %zu bytes in all\n", most + state + sizeof task + PAYLOAD);
    return 0;
}
