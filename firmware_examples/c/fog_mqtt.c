/* Ask a fog over MQTT: fog_mqtt <host> <port> <site> <name of this device>
 *
 * With libmosquitto here; README.md has the same calls of ESP-IDF and Zephyr. The password of the device, if it has a
 * login, is in FOG_PASSWORD; for TLS, FOG_CA names the file of the authority that signed the broker's certificate.
 */
#include <mosquitto.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "fog_call.h"
#include "question.h"

#define WITHIN 10000 /* milliseconds */

static struct { /* all the memory of this client, from its start to its end */
    const char *site, *name;
    char id[FOG_ID + 1], topic[192];
    uint8_t task[256];
    fog_call call;
    bool subscribed, done;
    int status;
} me;

static uint32_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000U + (uint32_t)(now.tv_nsec / 1000000);
}

static void on_connect(struct mosquitto *client, void *unused, int refused)
{
    (void)unused;
    if (refused) {
        fprintf(stderr, "the broker refuses: %s\n", mosquitto_connack_string(refused));
        me.done = true;
        return;
    }
    snprintf(me.topic, sizeof me.topic, "fog/v1/%s/reply/%s", me.site, me.name);
    mosquitto_subscribe(client, NULL, me.topic, 0);
    me.subscribed = true;   /* the broker takes this first, and then what is published */
    me.call.due = now_ms(); /* what was sent before may be lost */
}

static void on_message(struct mosquitto *client, void *unused, const struct mosquitto_message *message)
{
    (void)client, (void)unused;
    fog_reply reply;
    fog_replies replies = fog_open(message->payload, (size_t)message->payloadlen);
    while (!me.done && fog_next(&replies, &reply))
        if (fog_hear(&me.call, &reply, now_ms())) {
            me.status = show_answer(&reply);
            me.done = true;
        }
}

static void send_task(struct mosquitto *client)
{
    fog_out out = {me.task, sizeof me.task, 0};
    fog_put_task(&out, &(fog_task){.id = me.id, .name = QUESTION, .deadline = fog_left(&me.call, now_ms())},
                 QUESTION_ARGS);
    put_readings(&out);
    if (!fog_fits(&out))
        abort(); /* a matter of the size of me.task, and seen at the first try */
    bool any = me.call.node[0] == '\0';
    snprintf(me.topic, sizeof me.topic, "fog/v1/%s/%s%s%stask/%s", me.site, any ? "" : "node/", me.call.node,
             any ? "" : "/", me.name);
    mosquitto_publish(client, NULL, me.topic, (int)out.size, out.data, 0, false);
}

static struct mosquitto *start(const char *host, int port)
{
    const char *password = getenv("FOG_PASSWORD"), *ca = getenv("FOG_CA");
    mosquitto_lib_init();
    struct mosquitto *client = mosquitto_new(me.name, true, NULL);
    mosquitto_connect_callback_set(client, on_connect);
    mosquitto_message_callback_set(client, on_message);
    mosquitto_int_option(client, MOSQ_OPT_TCP_NODELAY, 1);
    if (password)
        mosquitto_username_pw_set(client, me.name, password);
    if (ca && mosquitto_tls_set(client, ca, NULL, NULL, NULL, NULL))
        fprintf(stderr, "%s cannot be read\n", ca);
    mosquitto_connect_async(client, host, port, 10);
    return client;
}

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "fog_mqtt <host> <port> <site> <name of this device>\n");
        return 2;
    }
    me.site = argv[3], me.name = argv[4], me.status = 1;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(me.id, sizeof me.id, "%llx-%lx", (unsigned long long)now.tv_sec, now.tv_nsec);
    fog_begin(&me.call, me.id, now_ms(), WITHIN);
    struct mosquitto *client = start(argv[1], atoi(argv[2]));
    int problem = mosquitto_reconnect(client);
    while (!me.done && fog_left(&me.call, now_ms())) {
        if (problem) {
            me.subscribed = false;
            nanosleep(&(struct timespec){0, 200000000}, NULL);
            problem = mosquitto_reconnect(client);
            continue;
        }
        if (me.subscribed && fog_due(&me.call, now_ms()))
            send_task(client);
        uint32_t rest = me.subscribed ? fog_rest(&me.call, now_ms()) : 100;
        problem = mosquitto_loop(client, (int)rest, 1);
    }
    if (!me.done)
        fprintf(stderr, "no answer within %d ms\n", WITHIN);
    mosquitto_disconnect(client);
    mosquitto_destroy(client);
    mosquitto_lib_cleanup();
    return me.status;
}
