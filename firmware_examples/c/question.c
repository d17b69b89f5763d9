/* See question.h. Nothing here knows how the messages travel. */
#include "question.h"

#include <stdio.h>

static const double readings[] = {20.5, 21.0, 22.5, 23.0, 24.5};
#define READINGS (sizeof readings / sizeof *readings)

void put_readings(fog_out *out)
{
    fog_put_array(out, READINGS);
    for (size_t at = 0; at < READINGS; at++)
        fog_put_double(out, readings[at]);
}

static void show(const char *what, fog_text first, fog_text second)
{
    printf("%s %.*s: %.*s\n", what, (int)first.size, first.data ? first.data : "", (int)second.size,
           second.data ? second.data : "");
}

int show_answer(const fog_reply *reply)
{
    fog_in value = reply->value;
    fog_item item;
    if (reply->type == FOG_RESULT && fog_read(&value, &item) && (item.kind == FOG_DOUBLE || item.kind == FOG_INT)) {
        printf("it will be %g\n", item.real);
        return 0;
    }
    show(reply->type == FOG_REFUSED ? "refused" : "failed",
         reply->type == FOG_REFUSED ? reply->reason : reply->error, reply->message);
    return 1;
}
