/* See fog_call.h. */
#include "fog_call.h"

#include <string.h>

#define FIRST_CHECK 300 /* milliseconds; see "Times" in docs/protocol.md */
#define LAST_CHECK 5000
#define WAIT_AGAIN 500

void fog_begin(fog_call *call, const char *id, uint32_t now, uint32_t within)
{
    *call = (fog_call){.id = id, .begun = now, .within = within, .due = now, .pause = FIRST_CHECK};
}

uint32_t fog_left(const fog_call *call, uint32_t now)
{
    uint32_t passed = now - call->begun;
    return passed < call->within ? call->within - passed : 0;
}

uint32_t fog_rest(const fog_call *call, uint32_t now)
{
    uint32_t left = fog_left(call, now), wait = call->due - now;
    return wait > INT32_MAX ? 0 : wait < left ? wait : left;
}

bool fog_due(fog_call *call, uint32_t now)
{
    uint32_t since = now - call->due;
    if (since > INT32_MAX)
        return false;
    call->due = now + call->pause;
    call->pause = call->pause < LAST_CHECK / 2 ? call->pause * 2 : LAST_CHECK;
    return true;
}

static bool refused(fog_call *call, const fog_reply *reply, uint32_t now)
{
    uint32_t wait = reply->retry_after ? reply->retry_after : WAIT_AGAIN;
    call->node[0] = '\0';
    if (fog_is(reply->reason, "elsewhere") && reply->instead.size > 0 && reply->instead.size <= FOG_ID) {
        memcpy(call->node, reply->instead.data, reply->instead.size);
        call->node[reply->instead.size] = '\0';
        wait = 0;
    } else if (!fog_is(reply->reason, "overloaded") && !fog_is(reply->reason, "leaving")
               && !fog_is(reply->reason, "behind")) {
        return true;
    }
    call->due = now + (wait < LAST_CHECK ? wait : LAST_CHECK);
    return false;
}

bool fog_hear(fog_call *call, const fog_reply *reply, uint32_t now)
{
    if (reply->type == FOG_OTHER || !fog_is(reply->id, call->id))
        return false; /* of another task: late, or twice */
    if (reply->type == FOG_REFUSED)
        return refused(call, reply, now);
    if (reply->type == FOG_ACCEPTED || reply->type == FOG_PROGRESS)
        call->due = now + LAST_CHECK;
    else if (reply->type == FOG_CANCELLED) /* not by this device */
        call->due = now;
    else
        return true;
    return false;
}
