/* Ask a fog over CoAP, straight to a node: fog_coap <address of a node> <port> <name of this device>
 *
 * With libcoap, which ESP-IDF and Zephyr have too; it sends again what is not acknowledged.
 */
#include <arpa/inet.h>
#include <coap3/coap.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fog_call.h"
#include "question.h"

#define WITHIN 10000 /* milliseconds */
#define ASK_AGAIN 4000 /* milliseconds after which the node says that it is not done yet, and is asked again */
#define CBOR 60

static struct { /* all the memory of this client, from its start to its end; libcoap has its own */
    const char *name;
    char id[FOG_ID + 1];
    uint8_t task[256];
    fog_call call;
    bool done;
    int status;
} me;

static uint32_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint32_t)now.tv_sec * 1000U + (uint32_t)(now.tv_nsec / 1000000);
}

static void finish(int status)
{
    me.status = status;
    me.done = true;
}

static coap_response_t on_response(coap_session_t *session, const coap_pdu_t *sent, const coap_pdu_t *received,
                                   const coap_mid_t mid)
{
    (void)session, (void)sent, (void)mid;
    const uint8_t *data = NULL;
    size_t size = 0, offset, total;
    fog_reply reply;
    coap_pdu_code_t code = coap_pdu_get_code(received);
    coap_get_data_large(received, &size, &data, &offset, &total);
    if (code == COAP_RESPONSE_CODE_CREATED) { /* not done yet: the same task again asks what became of it */
        me.call.due = now_ms();
        return COAP_RESPONSE_OK;
    }
    fog_replies replies = fog_open(data, size);
    if (!fog_next(&replies, &reply)) { /* what is wrong with the request, in words for people */
        fprintf(stderr, "%d.%02d %.*s\n", code >> 5, code & 31, (int)size, data ? (const char *)data : "");
        finish(1);
    } else if (fog_hear(&me.call, &reply, now_ms())) {
        finish(show_answer(&reply));
    }
    return COAP_RESPONSE_OK;
}

static void on_nack(coap_session_t *session, const coap_pdu_t *sent, coap_nack_reason_t reason, const coap_mid_t mid)
{
    (void)session, (void)sent, (void)reason, (void)mid;
    fprintf(stderr, "no node answers there\n");
    finish(1);
}

static void add(coap_pdu_t *pdu, coap_option_num_t option, const char *format, const char *text, unsigned long number)
{
    char value[FOG_ID + 16];
    int size = snprintf(value, sizeof value, format, text, number);
    if (size < 0 || (size_t)size >= sizeof value || !coap_add_option(pdu, option, (size_t)size, (uint8_t *)value))
        abort(); /* a matter of the sizes in this file, and seen at the first try */
}

static void send_task(coap_session_t *session)
{
    static const uint8_t form = CBOR;
    uint8_t token[8];
    size_t size;
    fog_out out = {me.task, sizeof me.task, 0};
    fog_put_body(&out, QUESTION_ARGS);
    put_readings(&out);
    coap_pdu_t *pdu = coap_new_pdu(COAP_MESSAGE_CON, COAP_REQUEST_CODE_POST, session);
    if (!pdu || !fog_fits(&out))
        abort();
    coap_session_new_token(session, &size, token);
    coap_add_token(pdu, size, token);
    const char *path[] = {"fog", "v1", "tasks", QUESTION};
    for (unsigned part = 0; part < 4; part++)
        add(pdu, COAP_OPTION_URI_PATH, "%s", path[part], 0);
    coap_add_option(pdu, COAP_OPTION_CONTENT_FORMAT, 1, &form);
    add(pdu, COAP_OPTION_URI_QUERY, "sender=%s", me.name, 0);
    add(pdu, COAP_OPTION_URI_QUERY, "id=%s", me.id, 0);
    add(pdu, COAP_OPTION_URI_QUERY, "%s=%lums", "deadline", fog_left(&me.call, now_ms()));
    add(pdu, COAP_OPTION_URI_QUERY, "%s=%lums", "wait", ASK_AGAIN);
    coap_add_option(pdu, COAP_OPTION_ACCEPT, 1, &form);
    coap_add_data(pdu, out.size, out.data);
    coap_send(session, pdu);
    me.call.due = now_ms() + WITHIN; /* libcoap sees to it that it arrives */
}

static coap_session_t *start(coap_context_t *context, const char *host, const char *port)
{
    coap_address_t node;
    coap_address_init(&node);
    node.size = sizeof node.addr.sin;
    node.addr.sin.sin_family = AF_INET;
    node.addr.sin.sin_port = htons((uint16_t)atoi(port));
    if (inet_pton(AF_INET, host, &node.addr.sin.sin_addr) != 1)
        return NULL;
    coap_context_set_block_mode(context, COAP_BLOCK_USE_LIBCOAP | COAP_BLOCK_SINGLE_BODY);
    coap_register_response_handler(context, on_response);
    coap_register_nack_handler(context, on_nack);
    return coap_new_client_session(context, NULL, &node, COAP_PROTO_UDP);
}

int main(int argc, char **argv)
{
    if (argc != 4) {
        fprintf(stderr, "fog_coap <address of a node> <port> <name of this device>\n");
        return 2;
    }
    me.name = argv[3], me.status = 1;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(me.id, sizeof me.id, "%llx-%lx", (unsigned long long)now.tv_sec, now.tv_nsec);
    coap_startup();
    coap_context_t *context = coap_new_context(NULL);
    coap_session_t *session = start(context, argv[1], argv[2]);
    if (!session) {
        fprintf(stderr, "%s is no IPv4 address that can be reached\n", argv[1]);
        return 2;
    }
    fog_begin(&me.call, me.id, now_ms(), WITHIN);
    while (!me.done && fog_left(&me.call, now_ms())) {
        if (fog_due(&me.call, now_ms()))
            send_task(session);
        coap_io_process(context, fog_rest(&me.call, now_ms()) + 1); /* 0 would be without an end */
    }
    if (!me.done)
        fprintf(stderr, "no answer within %d ms\n", WITHIN);
    coap_session_release(session);
    coap_free_context(context);
    coap_cleanup();
    return me.status;
}
