/* The provider of the HTTP benchmark: plain chat is answered at once, a stream leaves one event at a time.
 * usage: http_provider PORT CHUNKS PAUSE_MS       prints its port
 * A stream's first event leaves at once, each other one PAUSE_MS after the one before. GET anything -> {"calls": N}. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BUFFER = 1 << 18, DESCRIPTORS = 65536, JOBS = 1 << 17, EVENT = 640 };

/* A stream on its way. All pause equally long, so that those which wait are in order. */
struct job { int fd; unsigned generation; int next; double due_s; };

static char *buffers[DESCRIPTORS];
static size_t filled[DESCRIPTORS];
static unsigned generations[DESCRIPTORS];
static struct job jobs[JOBS];
static size_t first_job, last_job;
static unsigned long calls;
static int chunks, epoll;
static double pause_s;
static char (*events)[EVENT];

static const char completion[] =
    "{\"id\":\"chatcmpl-1\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"bench\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"A fixed answer of the benchmark's provider, ten tokens long.\"},"
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":10,\"total_tokens\":30}}";
static const char stream_head[] =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n";

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void say(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t n = send(fd, data, size, MSG_NOSIGNAL);
        if (n < 0) return; /* the reader is gone, or far behind: its connection ends soon */
        data += n;
        size -= (size_t)n;
    }
}

static void frame(char *out, const char *text) { snprintf(out, EVENT, "%zx\r\n%s\r\n", strlen(text), text); }

/* All that a stream says, framed: its words, the end, the usage, and the last frame. */
static void prepare(void) {
    char text[512];
    const char *head = "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\",\"choices\":";
    events = malloc((size_t)(chunks + 1) * EVENT);
    for (int i = 0; i < chunks; i++) {
        snprintf(text, sizeof text, "%s[{\"index\":0,\"delta\":{%s\"content\":\"word%d \"},\"finish_reason\":null}]}\n\n", head,
                 i ? "" : "\"role\":\"assistant\",", i);
        frame(events[i], text);
    }
    snprintf(text, sizeof text,
             "%s[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
             "data: {\"id\":\"chatcmpl-1\",\"object\":\"chat.completion.chunk\",\"created\":1700000000,\"model\":\"bench\",\"choices\":[],"
             "\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":%d,\"total_tokens\":%d}}\n\ndata: [DONE]\n\n",
             head, chunks, 20 + chunks);
    frame(events[chunks], text);
    strcat(events[chunks], "0\r\n\r\n");
}

/* Sends the next event; the last words bring the end along. */
static void step(struct job job) {
    if (generations[job.fd] != job.generation) return;
    say(job.fd, events[job.next], strlen(events[job.next]));
    job.next++;
    if (job.next == chunks) {
        say(job.fd, events[chunks], strlen(events[chunks]));
        return;
    }
    job.due_s = now_s() + pause_s;
    jobs[last_job++ % JOBS] = job;
}

static void reply(int fd, const char *body) {
    char out[2048];
    int n = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     strlen(body), body);
    say(fd, out, (size_t)n);
}

static void answer(int fd, const char *request, size_t size) {
    char body[64];
    if (strncmp(request, "POST", 4)) {
        snprintf(body, sizeof body, "{\"calls\":%lu}", calls);
        reply(fd, body);
        return;
    }
    calls++;
    if (memmem(request, size, "\"stream\":true", 13) || memmem(request, size, "\"stream\": true", 14)) {
        say(fd, stream_head, sizeof stream_head - 1);
        step((struct job){.fd = fd, .generation = generations[fd]});
    } else {
        reply(fd, completion);
    }
}

/* Where a whole request ends; 0 where more of it must come. */
static size_t whole(char *buffer, size_t size) {
    buffer[size] = 0;
    char *end = strstr(buffer, "\r\n\r\n");
    if (!end) return 0;
    size_t head = (size_t)(end - buffer) + 4;
    char *length = strcasestr(buffer, "\r\nContent-Length:");
    if (length && length < end) {
        head += strtoul(length + 17, NULL, 10);
    } else if ((length = strcasestr(buffer, "\r\nTransfer-Encoding:")) && length < end) {
        char *last = memmem(end, size - (size_t)(end - buffer), "\r\n0\r\n\r\n", 7);
        if (!last) return 0;
        head = (size_t)(last - buffer) + 7;
    }
    return head <= size ? head : 0;
}

static void end(int fd) {
    generations[fd]++;
    filled[fd] = 0;
    close(fd);
}

static void take(int fd) {
    ssize_t n = read(fd, buffers[fd] + filled[fd], BUFFER - 1 - filled[fd]);
    if (n <= 0) { end(fd); return; }
    filled[fd] += (size_t)n;
    size_t size;
    while ((size = whole(buffers[fd], filled[fd]))) {
        answer(fd, buffers[fd], size);
        filled[fd] -= size;
        memmove(buffers[fd], buffers[fd] + size, filled[fd]);
    }
}

static void take_connection(int listener) {
    int on = 1, fd = accept(listener, NULL, NULL);
    if (fd < 0) return;
    if (fd >= DESCRIPTORS) { close(fd); return; }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    if (!buffers[fd]) buffers[fd] = malloc(BUFFER);
    filled[fd] = 0;
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
}

int main(int argc, char **argv) {
    if (argc != 4) { fprintf(stderr, "usage: http_provider PORT CHUNKS PAUSE_MS\n"); return 2; }
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argv[1]))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    chunks = atoi(argv[2]);
    pause_s = atof(argv[3]) / 1e3;
    prepare();
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) { perror("bind"); return 1; }
    socklen_t size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, ready[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct timespec wait = {0}, *until = NULL;
        if (first_job != last_job) {
            double left_s = jobs[first_job % JOBS].due_s - now_s();
            if (left_s > 0) wait.tv_sec = (time_t)left_s, wait.tv_nsec = (long)((left_s - (double)wait.tv_sec) * 1e9);
            until = &wait;
        }
        int count = epoll_pwait2(epoll, ready, 256, until, NULL);
        for (int i = 0; i < count; i++) {
            if (ready[i].data.fd == listener) take_connection(listener);
            else take(ready[i].data.fd);
        }
        size_t last = last_job; /* with no pause, what a step adds waits for the next round */
        for (double now = now_s(); first_job != last && jobs[first_job % JOBS].due_s <= now;) step(jobs[first_job++ % JOBS]);
    }
}
