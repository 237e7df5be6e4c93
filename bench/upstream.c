/* A provider that answers every POST with one fixed chat completion, as fast as it can: the upstream of the benchmarks.
 * usage: upstream PORT          GET anything -> {"calls": N} */
#define _GNU_SOURCE
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BUFFER = 1 << 20, DESCRIPTORS = 65536 };

static const char completion[] =
    "{\"id\":\"c\",\"object\":\"chat.completion\",\"created\":1700000000,\"model\":\"bench\",\"choices\":[{\"index\":0,"
    "\"message\":{\"role\":\"assistant\",\"content\":\"A fixed answer of the benchmark's upstream, ten tokens long.\"},"
    "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":20,\"completion_tokens\":10,\"total_tokens\":30}}";

static char *buffers[DESCRIPTORS];
static size_t filled[DESCRIPTORS];
static unsigned long calls;

static void reply(int fd, const char *body) {
    char out[2048];
    int n = snprintf(out, sizeof out, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
                     strlen(body), body);
    if (send(fd, out, (size_t)n, MSG_NOSIGNAL) < 0) filled[fd] = 0;
}

/* Serves every whole request in a connection's buffer. */
static void serve(int fd) {
    char *buffer = buffers[fd];
    for (;;) {
        buffer[filled[fd]] = 0;
        char *end = strstr(buffer, "\r\n\r\n");
        if (!end) return;
        char *length = strcasestr(buffer, "\r\nContent-Length:");
        size_t whole = (size_t)(end - buffer) + 4 + (length && length < end ? strtoul(length + 17, NULL, 10) : 0);
        if (filled[fd] < whole) return;
        int post = !strncmp(buffer, "POST", 4);
        filled[fd] -= whole;
        memmove(buffer, buffer + whole, filled[fd]);
        if (post) {
            calls++;
            reply(fd, completion);
        } else {
            char body[64];
            snprintf(body, sizeof body, "{\"calls\":%lu}", calls);
            reply(fd, body);
        }
    }
}

int main(int argc, char **argv) {
    int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1, epoll = epoll_create1(0);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(argc > 1 ? argv[1] : "0"))};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1024)) { perror("bind"); return 1; }
    socklen_t size = sizeof address;
    getsockname(listener, (struct sockaddr *)&address, &size);
    printf("%d\n", ntohs(address.sin_port));
    fflush(stdout);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener}, events[256];
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int ready = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) {
                int client = accept(listener, NULL, NULL);
                if (client < 0 || client >= DESCRIPTORS) continue;
                setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
                if (!buffers[client]) buffers[client] = malloc(BUFFER);
                filled[client] = 0;
                event.data.fd = client;
                epoll_ctl(epoll, EPOLL_CTL_ADD, client, &event);
                continue;
            }
            ssize_t n = read(fd, buffers[fd] + filled[fd], BUFFER - 1 - filled[fd]);
            if (n <= 0) { close(fd); continue; }
            filled[fd] += (size_t)n;
            serve(fd);
        }
    }
}
