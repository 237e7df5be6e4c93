/* A closed-loop load generator for HTTP, plain replies and streams; tells the time to the first chunk, which wrk does not.
 * usage: http_load PORT CONNECTIONS SECONDS REQUESTS RATE TEMPLATE_FILE
 * Ends after SECONDS, or after REQUESTS where that is not 0. With a RATE, all connections together send so many requests
 * a second, evenly spread, and never more than one each at a time; with 0 each sends as soon as it has its reply. The template is one whole HTTP request; "00000000" in it is
 * replaced by a counter. Streams begin spread over a tenth of a second, so that they do not all begin anew together.
 * Prints one JSON object; a stream without [DONE], and a status other than 200, are errors. */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 18, LATENCIES = 8000000 };

static const double SPREAD_S = 0.1;

struct client {
    int fd;
    double sent_s, first_s, due_s;
    int waits;
    size_t filled, head, length; /* of the reply: bytes so far, where its body begins, its Content-Length */
    int chunked;
    char *buffer;
};

static char request[65536];
static size_t request_length;
static char *counter;
static unsigned long sequence;
static float *whole_us, *first_us;
static size_t measured, errors;
static int epoll, port, streams;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void dial(struct client *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int on = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) { perror("connect"); exit(1); }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(epoll, EPOLL_CTL_ADD, c->fd, &event);
}

static void ask(struct client *c) {
    if (counter) {
        char digits[9];
        snprintf(digits, sizeof digits, "%08lu", sequence++ % 100000000);
        memcpy(counter, digits, 8);
    }
    c->filled = c->head = c->length = 0;
    c->first_s = 0;
    c->chunked = c->waits = 0;
    c->sent_s = now_s();
    for (size_t done = 0; done < request_length;) {
        ssize_t n = send(c->fd, request + done, request_length - done, MSG_NOSIGNAL);
        if (n < 0) { perror("send"); exit(1); }
        done += (size_t)n;
    }
}

/* Reads the head, once it is there. */
static void read_head(struct client *c) {
    c->buffer[c->filled] = 0;
    char *end = strstr(c->buffer, "\r\n\r\n");
    if (!end) return;
    c->head = (size_t)(end - c->buffer) + 4;
    char *length = strcasestr(c->buffer, "\r\ncontent-length:");
    char *coding = strcasestr(c->buffer, "\r\ntransfer-encoding: chunked");
    c->chunked = coding && coding < end;
    c->length = length && length < end ? strtoul(length + 17, NULL, 10) : (size_t)-1;
}

static int is_whole(struct client *c) {
    if (!c->head) read_head(c);
    if (!c->head) return 0;
    if (!c->first_s && c->filled > c->head) c->first_s = now_s();
    if (!c->chunked) return c->filled - c->head == c->length;
    return c->filled >= c->head + 5 && !memcmp(c->buffer + c->filled - 5, "0\r\n\r\n", 5);
}

static void note(struct client *c) {
    double now = now_s();
    size_t size = c->filled - c->head;
    char *body = c->buffer + c->head;
    int good = !strncmp(c->buffer + 8, " 200", 4) && (!streams || memmem(body, size, "data: [DONE]", 12));
    if (!good) {
        if (!errors) fprintf(stderr, "first error: %.600s\n", c->buffer);
        errors++;
    }
    if (measured == LATENCIES) return;
    whole_us[measured] = (float)((now - c->sent_s) * 1e6);
    first_us[measured++] = (float)(((c->first_s ? c->first_s : now) - c->sent_s) * 1e6);
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double at(const float *values, double share) { return measured ? values[(size_t)(share * (double)(measured - 1))] : 0; }

int main(int argc, char **argv) {
    if (argc != 7) { fprintf(stderr, "usage: http_load PORT CONNECTIONS SECONDS REQUESTS RATE TEMPLATE_FILE\n"); return 2; }
    port = atoi(argv[1]);
    int count = atoi(argv[2]);
    double seconds = atof(argv[3]);
    size_t most = strtoul(argv[4], NULL, 10);
    double each_s = atof(argv[5]) > 0 ? count / atof(argv[5]) : 0; /* between two requests of one connection */
    FILE *file = fopen(argv[6], "rb");
    if (!file) { perror(argv[6]); return 1; }
    request_length = fread(request, 1, sizeof request - 1, file);
    fclose(file);
    counter = strstr(request, "00000000");
    streams = strstr(request, "\"stream\":true") != NULL;
    whole_us = malloc(LATENCIES * sizeof *whole_us);
    first_us = malloc(LATENCIES * sizeof *first_us);
    struct client *clients = calloc((size_t)count, sizeof *clients);
    epoll = epoll_create1(0);
    sequence = (unsigned long)(now_s() * 1e5); /* no two runs send the same request */
    for (int i = 0; i < count; i++) {
        clients[i].buffer = malloc(BUFFER);
        dial(&clients[i]);
    }
    struct epoll_event events[256];
    double start = now_s(), end = start + seconds, spread_s = each_s > 0 ? each_s : streams ? SPREAD_S : 0;
    for (int i = 0; i < count; i++) clients[i].due_s = start + spread_s * i / count, clients[i].waits = 1;
    while (most ? measured < most : now_s() < end) {
        double wait_s = 0.1, now = now_s();
        for (int i = 0; i < count; i++) {
            if (!clients[i].waits) continue;
            if (clients[i].due_s <= now) ask(&clients[i]);
            else if (clients[i].due_s - now < wait_s) wait_s = clients[i].due_s - now;
        }
        struct timespec wait = {.tv_nsec = (long)(wait_s * 1e9)};
        int ready = epoll_pwait2(epoll, events, 256, &wait, NULL);
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            ssize_t n = read(c->fd, c->buffer + c->filled, BUFFER - 1 - c->filled);
            if (n > 0) c->filled += (size_t)n;
            int done = is_whole(c);
            if (n > 0 && !done && c->filled < BUFFER - 1) continue;
            if (!c->head) errors++;
            else note(c);
            if (n <= 0) { close(c->fd); dial(c); } /* some servers end each stream with its connection */
            c->waits = 1;
            c->due_s = each_s > 0 ? c->due_s + each_s : 0;
        }
    }
    double took = now_s() - start;
    qsort(whole_us, measured, sizeof *whole_us, by_value);
    qsort(first_us, measured, sizeof *first_us, by_value);
    printf("{\"requests\":%zu,\"seconds\":%.4f,\"errors\":%zu,\"p50_us\":%.1f,\"p95_us\":%.1f,\"p99_us\":%.1f,"
           "\"first_p50_us\":%.1f,\"first_p95_us\":%.1f,\"first_p99_us\":%.1f}\n",
           measured, took, errors, at(whole_us, .5), at(whole_us, .95), at(whole_us, .99),
           at(first_us, .5), at(first_us, .95), at(first_us, .99));
    return 0;
}
