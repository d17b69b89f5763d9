/* A call, from the task to its outcome: what a sender does when it hears nothing, or is told to try again.
 *
 * fog_begin(&call, "a-1", now, 10000);
 * until fog_hear(&call, &reply, now) is true or fog_left(&call, now) is 0:
 *     if (fog_due(&call, now)) send the task, to call.node if it is not "";
 *     wait for replies, fog_rest(&call, now) milliseconds at the most.
 */
#ifndef FOG_CALL_H
#define FOG_CALL_H

#include "fog.h"

typedef struct {
    const char *id;
    uint32_t begun, within, due, pause; /* milliseconds of a clock that may wrap */
    char node[FOG_ID + 1];              /* which node to send it to; "": any */
} fog_call;

void fog_begin(fog_call *call, const char *id, uint32_t now, uint32_t within);
bool fog_due(fog_call *call, uint32_t now);                           /* send it now, or again */
uint32_t fog_rest(const fog_call *call, uint32_t now);                /* until there is something to do */
uint32_t fog_left(const fog_call *call, uint32_t now);                /* until its deadline */
bool fog_hear(fog_call *call, const fog_reply *reply, uint32_t now);  /* whether that is its outcome */

#endif
