/* A DNS server for tests, on a thread of its own and a free port of loopback. It knows a few names
 * under .test, counts what it is asked, and can be slow or mute. */
#ifndef SP_TESTS_UNIT_DNS_SERVER_H
#define SP_TESTS_UNIT_DNS_SERVER_H

#include "net_test.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

struct dns_record {
    const char *name;
    const char *v4; /* NULL: none */
    const char *v6;
    uint32_t ttl;
    enum { DNS_ANSWERS, DNS_NO_SUCH_NAME, DNS_MUTE, DNS_FAILS } how;
    atomic_uint asked; /* for A */
};

struct dns_server {
    int fd;
    pthread_t thread;
    char where[64]; /* "127.0.0.1:port" */
    struct dns_record *records;
    size_t records_len;
    atomic_uint delay_ms;
    atomic_bool stop;
};

/* The question's name in dots; returns where its type stands, 0 when garbled. */
static inline size_t dns_read_name(const uint8_t *packet, size_t len, char *name, size_t cap)
{
    size_t at = 12, out = 0;

    while (at < len && packet[at] != 0) {
        size_t label = packet[at++];

        if (at + label >= len || out + label + 2 > cap)
            return 0;
        memcpy(name + out, packet + at, label);
        out += label;
        name[out++] = '.';
        at += label;
    }
    name[out > 0 ? out - 1 : 0] = '\0';
    return at + 5 <= len ? at + 1 : 0;
}

static inline size_t dns_put_answer(uint8_t *packet, size_t at, const struct dns_record *record,
                                    unsigned type)
{
    const char *text = type == 1 ? record->v4 : record->v6;
    size_t addr_len = type == 1 ? 4 : 16;
    uint32_t ttl = htonl(record->ttl);
    const uint8_t head[6] = {0xc0, 0x0c, 0, (uint8_t)type, 0, 1};

    if (text == NULL)
        return at;
    memcpy(packet + at, head, 6);
    memcpy(packet + at + 6, &ttl, 4);
    packet[at + 10] = 0;
    packet[at + 11] = (uint8_t)addr_len;
    inet_pton(type == 1 ? AF_INET : AF_INET6, text, packet + at + 12);
    packet[7] = 1; /* one answer */
    return at + 12 + addr_len;
}

/* Turns the question into its answer; 0: say nothing. */
static inline size_t dns_answer(struct dns_server *server, uint8_t *packet, size_t len)
{
    char name[256];
    size_t at = dns_read_name(packet, len, name, sizeof(name));
    unsigned type;
    struct dns_record *record = NULL;

    if (at == 0)
        return 0;
    type = packet[at + 1];
    for (size_t i = 0; i < server->records_len; i++) {
        if (strcasecmp(server->records[i].name, name) == 0)
            record = &server->records[i];
    }
    if (record != NULL && type == 1)
        atomic_fetch_add(&record->asked, 1);
    if (record != NULL && record->how == DNS_MUTE)
        return 0;
    packet[2] |= 0x84; /* a response, authoritative */
    packet[3] = record == NULL || record->how == DNS_NO_SUCH_NAME ? 3 : 0;
    if (record != NULL && record->how == DNS_FAILS)
        packet[3] = 2;
    memset(packet + 6, 0, 6);
    return packet[3] == 0 ? dns_put_answer(packet, at + 4, record, type) : at + 4;
}

static inline void *dns_run(void *arg)
{
    struct dns_server *server = arg;

    while (!atomic_load(&server->stop)) {
        uint8_t packet[1024];
        struct sockaddr_in from;
        socklen_t from_len = sizeof(from);
        ssize_t got = recvfrom(server->fd, packet, sizeof(packet) - 64, 0, (struct sockaddr *)&from,
                               &from_len);
        size_t len;

        if (got < 17)
            continue; /* the receive timeout, or rubbish */
        len = dns_answer(server, packet, (size_t)got);
        usleep(atomic_load(&server->delay_ms) * 1000);
        if (len > 0)
            (void)!sendto(server->fd, packet, len, 0, (struct sockaddr *)&from, from_len);
    }
    return NULL;
}

static inline void dns_start(struct dns_server *server, struct dns_record *records, size_t len)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct timeval patience = {.tv_usec = 20000};
    socklen_t at_len = sizeof(at);

    memset(server, 0, sizeof(*server));
    server->records = records;
    server->records_len = len;
    server->fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_true(server->fd >= 0);
    assert_int_equal(bind(server->fd, (struct sockaddr *)&at, sizeof(at)), 0);
    assert_int_equal(getsockname(server->fd, (struct sockaddr *)&at, &at_len), 0);
    assert_int_equal(setsockopt(server->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)),
                     0);
    snprintf(server->where, sizeof(server->where), "127.0.0.1:%u", ntohs(at.sin_port));
    assert_int_equal(pthread_create(&server->thread, NULL, dns_run, server), 0);
}

static inline void dns_stop(struct dns_server *server)
{
    atomic_store(&server->stop, true);
    pthread_join(server->thread, NULL);
    close(server->fd);
}

#endif
