#include "net/http_client.h"

#include <curl/curl.h>  // IWYU pragma: keep
#include <curl/easy.h>
#include <curl/system.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/status.h"

#define REPLY_MAX_BYTES ((size_t)256 << 20)

struct od_http_client {
    CURL *curl;
    struct curl_slist *headers;
    char url[OD_HTTP_CLIENT_URL_MAX_BYTES];
    char ca_bundle[OD_PATH_MAX_BYTES];
};

static enum od_status set_up(struct od_http_client *client, const char *key, struct od_error *err)
{
    char line[OD_HTTP_CLIENT_URL_MAX_BYTES];
    client->curl = curl_easy_init();
    client->headers = curl_slist_append(NULL, "Content-Type: application/json");
    if (client->headers && key) {
        (void)snprintf(line, sizeof line, "Authorization: Bearer %s", key);
        struct curl_slist *longer = curl_slist_append(client->headers, line);
        client->headers = longer ? longer : client->headers;
    }
    // No wait for a 100 Continue that few servers send.
    struct curl_slist *last =
        client->headers ? curl_slist_append(client->headers, "Expect:") : NULL;
    if (!client->curl || !last) {
        return od_fail(err, OD_E_MEMORY, "no memory for a client");
    }
    client->headers = last;
    return OD_OK;
}

enum od_status od_http_client_open(const char *url, const char *key, const char *ca_bundle,
                                   struct od_http_client **ret, struct od_error *err)
{
    size_t size = strlen(url);
    while (size > 0 && url[size - 1] == '/') {
        size--;
    }
    if (strncmp(url, "http://", 7) != 0 && strncmp(url, "https://", 8) != 0) {
        return od_fail(err, OD_E_ARGUMENT, "'%.200s' is no address: it must start with http://",
                       url);
    }
    if (size >= OD_HTTP_CLIENT_URL_MAX_BYTES / 2) {
        return od_fail(err, OD_E_LIMIT, "an address of %zu bytes is too long", size);
    }
    struct od_http_client *client = od_alloc(1, sizeof *client);
    if (!client) {
        return od_fail(err, OD_E_MEMORY, "no memory for a client");
    }
    memcpy(client->url, url, size);
    if (ca_bundle) {
        (void)snprintf(client->ca_bundle, sizeof client->ca_bundle, "%s", ca_bundle);
    }
    const enum od_status status = set_up(client, key, err);
    if (status != OD_OK) {
        od_http_client_close(client);
        return status;
    }
    *ret = client;
    return OD_OK;
}

void od_http_client_close(struct od_http_client *client)
{
    if (client) {
        curl_slist_free_all(client->headers);
        curl_easy_cleanup(client->curl);
        od_free(client);
    }
}

static size_t on_bytes(char *bytes, size_t size, size_t count, void *context)
{
    struct od_buf *body = context;
    od_buf_append(body, bytes, size * count);
    return body->failed ? 0 : size * count;  // 0 makes curl give up
}

enum od_status od_http_client_ask(struct od_http_client *client, const char *path, const char *body,
                                  double timeout_s, struct od_http_reply *ret, struct od_error *err)
{
    char url[OD_HTTP_CLIENT_URL_MAX_BYTES];
    struct od_http_reply reply = {0};
    CURL *curl = client->curl;
    long code = 0;
    const double start = od_clock_s();
    (void)snprintf(url, sizeof url, "%s%s", client->url, path);
    od_buf_init(&reply.body, REPLY_MAX_BYTES);
    curl_easy_reset(curl);  // keeps the connection
    (void)curl_easy_setopt(curl, CURLOPT_URL, url);
    (void)curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    (void)curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_TCP_NODELAY, 1L);
    (void)curl_easy_setopt(curl, CURLOPT_HTTPHEADER, client->headers);
    (void)curl_easy_setopt(curl, CURLOPT_USERAGENT, "oneday");
    (void)curl_easy_setopt(curl, CURLOPT_NOPROXY, "localhost,127.0.0.1,::1");
    (void)curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)(timeout_s * 1000.0));
    if (body) {
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body);
        (void)curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(body));
    }
    (void)curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    (void)curl_easy_setopt(curl, CURLOPT_WRITEDATA, &reply.body);
    if (client->ca_bundle[0] != '\0') {
        (void)curl_easy_setopt(curl, CURLOPT_CAINFO, client->ca_bundle);
    }
    const CURLcode outcome = curl_easy_perform(curl);
    reply.seconds = od_clock_s() - start;
    if (outcome == CURLE_OPERATION_TIMEDOUT) {
        od_buf_release(&reply.body);
        return od_fail(err, OD_E_IO, "no answer from %.300s in %g s, the limit of one request", url,
                       timeout_s);
    }
    if (outcome != CURLE_OK) {
        od_buf_release(&reply.body);
        return od_fail(err, OD_E_IO, "no answer from %.300s: %s", url, curl_easy_strerror(outcome));
    }
    (void)curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &code);
    reply.code = (int)code;
    *ret = reply;
    return OD_OK;
}

void od_http_reply_release(struct od_http_reply *reply)
{
    od_buf_release(&reply->body);
    *reply = (struct od_http_reply){0};
}
