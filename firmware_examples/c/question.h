/* What the example clients ask, and what they do with the answer; both are the same over MQTT and CoAP. */
#ifndef QUESTION_H
#define QUESTION_H

#include "fog.h"

#define QUESTION "forecast"
#define QUESTION_ARGS 1

void put_readings(fog_out *out);       /* the arguments */
int show_answer(const fog_reply *reply); /* 0 if it is one */

#endif
