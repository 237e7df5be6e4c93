/* A closed-loop load generator for newline-framed Unix sockets.
 * usage: loadgen SOCKET CONNECTIONS SECONDS TEMPLATE_FILE
 * The template is one line; "00000000" in it is replaced by a counter, so that every request can differ.
 * Prints one JSON object: requests, seconds, p50_us, p95_us, p99_us, max_us, errors (replies that hold "error"). */
#define _GNU_SOURCE
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, LATENCIES = 8000000 };

struct client {
    int fd;
    double sent_s;
    size_t filled;
    char *buffer;
};

static char template_line[65536];
static size_t template_length;
static char *counter;
static unsigned long sequence;
static float *latency_us;
static size_t measured, errors;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec / 1e9;
}

static void send_request(struct client *c) {
    if (counter) {
        char digits[9];
        snprintf(digits, sizeof digits, "%08lu", sequence++ % 100000000);
        memcpy(counter, digits, 8);
    }
    c->sent_s = now_s();
    size_t done = 0;
    while (done < template_length) {
        ssize_t n = write(c->fd, template_line + done, template_length - done);
        if (n < 0) { perror("write"); exit(1); }
        done += (size_t)n;
    }
}

static int connect_to(const char *path) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    while (connect(fd, (struct sockaddr *)&address, sizeof address)) {
        if (errno != EAGAIN) { perror("connect"); exit(1); }
        usleep(1000);
    }
    return fd;
}

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double percentile(double share) { return measured ? latency_us[(size_t)(share * (double)(measured - 1))] : 0; }

int main(int argc, char **argv) {
    if (argc != 5) { fprintf(stderr, "usage: loadgen SOCKET CONNECTIONS SECONDS TEMPLATE_FILE\n"); return 2; }
    int count = atoi(argv[2]);
    double seconds = atof(argv[3]);
    FILE *file = fopen(argv[4], "rb");
    if (!file) { perror(argv[4]); return 1; }
    template_length = fread(template_line, 1, sizeof template_line - 1, file);
    fclose(file);
    counter = strstr(template_line, "00000000");
    latency_us = malloc(LATENCIES * sizeof *latency_us);
    struct client *clients = calloc((size_t)count, sizeof *clients);
    int epoll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        clients[i].fd = connect_to(argv[1]);
        clients[i].buffer = malloc(BUFFER);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &clients[i]};
        epoll_ctl(epoll, EPOLL_CTL_ADD, clients[i].fd, &event);
    }
    sequence = (unsigned long)(now_s() * 1e5);  /* no two runs send the same request */
    double start = now_s(), end = start + seconds;
    for (int i = 0; i < count; i++) send_request(&clients[i]);
    struct epoll_event events[256];
    while (now_s() < end) {
        int ready = epoll_wait(epoll, events, 256, 100);
        for (int i = 0; i < ready; i++) {
            struct client *c = events[i].data.ptr;
            ssize_t n = read(c->fd, c->buffer + c->filled, BUFFER - c->filled - 1);
            if (n <= 0) { fprintf(stderr, "the server closed a connection\n"); return 1; }
            c->filled += (size_t)n;
            if (c->buffer[c->filled - 1] != '\n') continue;
            c->buffer[c->filled] = 0;
            if (memmem(c->buffer, c->filled < 200 ? c->filled : 200, "\"error\":{", 9)) errors++;
            if (measured < LATENCIES) latency_us[measured++] = (float)((now_s() - c->sent_s) * 1e6);
            c->filled = 0;
            send_request(c);
        }
    }
    double took = now_s() - start;
    qsort(latency_us, measured, sizeof *latency_us, by_value);
    printf("{\"requests\":%zu,\"seconds\":%.4f,\"p50_us\":%.1f,\"p95_us\":%.1f,\"p99_us\":%.1f,\"max_us\":%.1f,\"errors\":%zu}\n",
           measured, took, percentile(.5), percentile(.95), percentile(.99), percentile(1), errors);
    return 0;
}
